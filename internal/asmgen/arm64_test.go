package main

import "testing"

// TestEncodings holds the encoders to what GNU as 2.40 makes of their text.
func TestEncodings(t *testing.T) {
	for _, c := range []struct {
		got  encoded
		code uint32
		text string
	}{
		{fadd(0, 1, 2), 0x4e22d420, "fadd v0.4s, v1.4s, v2.4s"},
		{fadd(31, 0, 17), 0x4e31d41f, "fadd v31.4s, v0.4s, v17.4s"},
		{faddp(3, 30, 12), 0x6e2cd7c3, "faddp v3.4s, v30.4s, v12.4s"},
		{faddp(16, 5, 31), 0x6e3fd4b0, "faddp v16.4s, v5.4s, v31.4s"},
		{fcmeq(2, 0, 0), 0x4e20e402, "fcmeq v2.4s, v0.4s, v0.4s"},
		{fcmeq(31, 21, 10), 0x4e2ae6bf, "fcmeq v31.4s, v21.4s, v10.4s"},
		{fsub(0, 31, 2), 0x4ea2d7e0, "fsub v0.4s, v31.4s, v2.4s"},
		{fmul(7, 8, 31), 0x6e3fdd07, "fmul v7.4s, v8.4s, v31.4s"},
		{fdiv(31, 1, 16), 0x6e30fc3f, "fdiv v31.4s, v1.4s, v16.4s"},
		{fmax(5, 16, 31), 0x4e3ff605, "fmax v5.4s, v16.4s, v31.4s"},
		{fmin(16, 31, 5), 0x4ea5f7f0, "fmin v16.4s, v31.4s, v5.4s"},
		{smax(31, 2, 21), 0x4eb5645f, "smax v31.4s, v2.4s, v21.4s"},
		{sshr(31, 10, 1), 0x4f3f055f, "sshr v31.4s, v10.4s, #1"},
		{sshr(2, 31, 32), 0x4f2007e2, "sshr v2.4s, v31.4s, #32"},
		{fmlaLane(8, 6, 0, 0), 0x4f8010c8, "fmla v8.4s, v6.4s, v0.s[0]"},
		{fmlaLane(31, 7, 5, 1), 0x4fa510ff, "fmla v31.4s, v7.4s, v5.s[1]"},
		{fmlaLane(0, 31, 16, 2), 0x4f901be0, "fmla v0.4s, v31.4s, v16.s[2]"},
		{fmlaLane(21, 10, 31, 3), 0x4fbf1955, "fmla v21.4s, v10.4s, v31.s[3]"},
		{shll(0, 31, false), 0x2e613be0, "shll v0.4s, v31.4h, #16"},
		{shll(17, 2, false), 0x2e613851, "shll v17.4s, v2.4h, #16"},
		{shll(31, 0, true), 0x6e61381f, "shll2 v31.4s, v0.8h, #16"},
		{prefetchUnscaled(17, 60), 0xf883c222, "prfum pldl2keep, [x17, #60]"},
		{prefetchUnscaled(1, 255), 0xf88ff022, "prfum pldl2keep, [x1, #255]"},
		{bic(6, 0), 0x6f0717e6, "bic v6.4s, #0xff, lsl #0"},
		{bic(31, 1), 0x6f0737ff, "bic v31.4s, #0xff, lsl #8"},
	} {
		if c.got.code != c.code || c.got.text != c.text {
			t.Errorf("got %#08x %s, want %#08x %s", c.got.code, c.got.text, c.code, c.text)
		}
	}
}
