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
		{fabs(7, 31), 0x4ea0fbe7, "fabs v7.4s, v31.4s"},
		{fmaxnm(31, 2, 16), 0x4e30c45f, "fmaxnm v31.4s, v2.4s, v16.4s"},
		{fminnm(2, 16, 31), 0x4ebfc602, "fminnm v2.4s, v16.4s, v31.4s"},
		{frintn(31, 1), 0x4e21883f, "frintn v31.4s, v1.4s"},
		{fcvtns(1, 31), 0x4e21abe1, "fcvtns v1.4s, v31.4s"},
		{fmaxv(31, 9), 0x6e30f93f, "fmaxv s31, v9.4s"},
		{smaxv(9, 31), 0x4eb0abe9, "smaxv s9, v31.4s"},
		{shorts(smaxv(9, 31)), 0x4e70abe9, "smaxv h9, v31.8h"},
		{shorts(smax(31, 2, 21)), 0x4e75645f, "smax v31.8h, v2.8h, v21.8h"},
		{shorts(cmge(21, 31, 2)), 0x4e623ff5, "cmge v21.8h, v31.8h, v2.8h"},
		{cmge(21, 31, 2), 0x4ea23ff5, "cmge v21.4s, v31.4s, v2.4s"},
		{fcmgt(2, 21, 31), 0x6ebfe6a2, "fcmgt v2.4s, v21.4s, v31.4s"},
		{doubles(fadd(31, 0, 17)), 0x4e71d41f, "fadd v31.2d, v0.2d, v17.2d"},
		{doubles(fsub(0, 31, 2)), 0x4ee2d7e0, "fsub v0.2d, v31.2d, v2.2d"},
		{doubles(fmul(7, 8, 31)), 0x6e7fdd07, "fmul v7.2d, v8.2d, v31.2d"},
		{doubles(faddp(3, 30, 12)), 0x6e6cd7c3, "faddp v3.2d, v30.2d, v12.2d"},
		{bicVector(31, 3, 18), 0x4e721c7f, "bic v31.16b, v3.16b, v18.16b"},
		{fmulLane(31, 7, 5, 1), 0x4fa590ff, "fmul v31.4s, v7.4s, v5.s[1]"},
		{fmulLane(0, 31, 16, 2), 0x4f909be0, "fmul v0.4s, v31.4s, v16.s[2]"},
		{fmulDouble(31, 4, 17), 0x4fd1909f, "fmul v31.2d, v4.2d, v17.d[0]"},
		{fcvtl(31, 5, false), 0x0e6178bf, "fcvtl v31.2d, v5.2s"},
		{fcvtl(5, 31, true), 0x4e617be5, "fcvtl2 v5.2d, v31.4s"},
		{fcvtn(31, 5, false), 0x0e6168bf, "fcvtn v31.2s, v5.2d"},
		{fcvtn(5, 31, true), 0x4e616be5, "fcvtn2 v5.4s, v31.2d"},
		{fcvtlHalves(31, 5, false), 0x0e2178bf, "fcvtl v31.4s, v5.4h"},
		{fcvtlHalves(5, 31, true), 0x4e217be5, "fcvtl2 v5.4s, v31.8h"},
		{sxtlBytes(31, 6), 0x0f08a4df, "sxtl v31.8h, v6.8b"},
		{sxtl(6, 31, false), 0x0f10a7e6, "sxtl v6.4s, v31.4h"},
		{sxtl(31, 6, true), 0x4f10a4df, "sxtl2 v31.4s, v6.8h"},
		{scvtf(31, 12), 0x4e21d99f, "scvtf v31.4s, v12.4s"},
		{smlal(31, 2, 17, false), 0x0e71805f, "smlal v31.4s, v2.4h, v17.4h"},
		{smlal(2, 17, 31, true), 0x4e7f8222, "smlal2 v2.4s, v17.8h, v31.8h"},
		{pairSums(31, 8, false), 0x4e60291f, "saddlp v31.4s, v8.8h"},
		{pairSums(8, 31, true), 0x4e606be8, "sadalp v8.4s, v31.8h"},
		{sshrLong(31, 8, 63), 0x4f41051f, "sshr v31.2d, v8.2d, #63"},
		{sshrLong(8, 31, 1), 0x4f7f07e8, "sshr v8.2d, v31.2d, #1"},
		{prefetchIndexed(17, 4), 0xf8a46a20, "prfm pldl1keep, [x17, x4]"},
		{prefetchIndexed(4, 17), 0xf8b16880, "prfm pldl1keep, [x4, x17]"},
		{storeNonTemporal(2, 31, 17, 32), 0xac017e22, "stnp q2, q31, [x17, #32]"},
		{storeNonTemporal(31, 2, 1, 0), 0xac00083f, "stnp q31, q2, [x1, #0]"},
		{bic(6, 0), 0x6f0717e6, "bic v6.4s, #0xff, lsl #0"},
		{bic(31, 1), 0x6f0737ff, "bic v31.4s, #0xff, lsl #8"},
	} {
		if c.got.code != c.code || c.got.text != c.text {
			t.Errorf("got %#08x %s, want %#08x %s", c.got.code, c.got.text, c.code, c.text)
		}
	}
}
