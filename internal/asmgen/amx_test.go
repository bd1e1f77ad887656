package main

import (
	"bytes"
	"testing"

	"github.com/mmcloughlin/avo/reg"
)

// TestAMXEncodings holds the encoders to what GNU as 2.40 makes of their text.
func TestAMXEncodings(t *testing.T) {
	for text, c := range map[string]struct{ got, want []byte }{
		"ldtilecfg 0(%rsp)":                  {loadConfig(reg.RSP), []byte{0xc4, 0xe2, 0x78, 0x49, 0x44, 0x24, 0x00}},
		"ldtilecfg 0(%r12)":                  {loadConfig(reg.R12), []byte{0xc4, 0xc2, 0x78, 0x49, 0x44, 0x24, 0x00}},
		"tilerelease":                        {tileRelease(), []byte{0xc4, 0xe2, 0x78, 0x49, 0xc0}},
		"tilezero %tmm0":                     {tileZero(0), []byte{0xc4, 0xe2, 0x7b, 0x49, 0xc0}},
		"tilezero %tmm7":                     {tileZero(7), []byte{0xc4, 0xe2, 0x7b, 0x49, 0xf8}},
		"tileloadd 64(%r10,%r12,1), %tmm1":   {tileLoad(1, reg.R10, reg.R12, 64), []byte{0xc4, 0x82, 0x7b, 0x4b, 0x4c, 0x22, 0x40}},
		"tileloadd 0(%rax,%rcx,1), %tmm4":    {tileLoad(4, reg.RAX, reg.RCX, 0), []byte{0xc4, 0xe2, 0x7b, 0x4b, 0x64, 0x08, 0x00}},
		"tileloadd 0(%rbx,%r9,1), %tmm5":     {tileLoad(5, reg.RBX, reg.R9, 0), []byte{0xc4, 0xa2, 0x7b, 0x4b, 0x6c, 0x0b, 0x00}},
		"tileloadd -128(%r13,%rbp,1), %tmm6": {tileLoad(6, reg.R13, reg.RBP, -128), []byte{0xc4, 0xc2, 0x7b, 0x4b, 0x74, 0x2d, 0x80}},
		"tileloaddt1 0(%rax,%rcx,1), %tmm4":  {tilePass(4, reg.RAX, reg.RCX, 0), []byte{0xc4, 0xe2, 0x79, 0x4b, 0x64, 0x08, 0x00}},
		"tilestored %tmm3, 64(%r11,%r12,1)":  {tileStore(3, reg.R11, reg.R12, 64), []byte{0xc4, 0x82, 0x7a, 0x4b, 0x5c, 0x23, 0x40}},
		"tilestored %tmm7, 0(%rdx,%rsi,1)":   {tileStore(7, reg.RDX, reg.RSI, 0), []byte{0xc4, 0xe2, 0x7a, 0x4b, 0x7c, 0x32, 0x00}},
		"tileloadd 320(%r10,%r12,1), %tmm5":  {tileLoad(5, reg.R10, reg.R12, 320), []byte{0xc4, 0x82, 0x7b, 0x4b, 0xac, 0x22, 0x40, 0x01, 0x00, 0x00}},
		"tdpbf16ps %tmm6, %tmm4, %tmm0":      {tileDotPairs(0, 4, 6), []byte{0xc4, 0xe2, 0x4a, 0x5c, 0xc4}},
		"tdpbf16ps %tmm7, %tmm5, %tmm3":      {tileDotPairs(3, 5, 7), []byte{0xc4, 0xe2, 0x42, 0x5c, 0xdd}},
		"tdpbf16ps %tmm0, %tmm1, %tmm7":      {tileDotPairs(7, 1, 0), []byte{0xc4, 0xe2, 0x7a, 0x5c, 0xf9}},
	} {
		if !bytes.Equal(c.got, c.want) {
			t.Errorf("%s: got % x, want % x", text, c.got, c.want)
		}
	}
}
