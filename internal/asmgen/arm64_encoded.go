package main

import "fmt"

// encoded is an instruction that Go's assembler does not know, in the notation of the architecture's manual.
type encoded struct {
	code uint32
	text string
}

func (g *neon) encoded(e encoded) { g.do("WORD", fmt.Sprintf("$%#08x // %s", e.code, e.text)) }

// three encodes an instruction on three vectors of four elements of 32 bits.
func three(code uint32, name string, to, a, b vector) encoded {
	return encoded{code | uint32(b)<<16 | uint32(a)<<5 | uint32(to), fmt.Sprintf("%s v%d.4s, v%d.4s, v%d.4s", name, to, a, b)}
}

// two encodes an instruction on two vectors, of elements as said.
func two(code uint32, name string, to vector, toElements string, a vector, elements string) encoded {
	return encoded{code | uint32(a)<<5 | uint32(to), fmt.Sprintf("%s v%d.%s, v%d.%s", name, to, toElements, a, elements)}
}

// Arithmetic on float32: to = a ∘ b. The greater and the lesser one of two is NaN if one of them is.
func fadd(to, a, b vector) encoded { return three(0x4e20d400, "fadd", to, a, b) }
func fsub(to, a, b vector) encoded { return three(0x4ea0d400, "fsub", to, a, b) }
func fmul(to, a, b vector) encoded { return three(0x6e20dc00, "fmul", to, a, b) }
func fdiv(to, a, b vector) encoded { return three(0x6e20fc00, "fdiv", to, a, b) }
func fmax(to, a, b vector) encoded { return three(0x4e20f400, "fmax", to, a, b) }
func fmin(to, a, b vector) encoded { return three(0x4ea0f400, "fmin", to, a, b) }

// smax is to = the greater one of a and b, numbers with a sign.
func smax(to, a, b vector) encoded { return three(0x4ea06400, "smax", to, a, b) }

// faddp is to = the sums of each two neighbours in a, then of those in b.
func faddp(to, a, b vector) encoded { return three(0x6e20d400, "faddp", to, a, b) }

// fcmeq sets all bits of an element of to where a = b, none where not.
func fcmeq(to, a, b vector) encoded { return three(0x4e20e400, "fcmeq", to, a, b) }

// fmlaLane is to += a · b[lane], rounded once.
func fmlaLane(to, a, b vector, lane int) encoded {
	e := three(0x4f801000, "fmla", to, a, b)
	l := uint32(lane)
	return encoded{e.code | l&1<<21 | l>>1<<11, fmt.Sprintf("fmla v%d.4s, v%d.4s, v%d.s[%d]", to, a, b, lane)}
}

// sshr shifts numbers with a sign to the right by 1 to 32 bits.
func sshr(to, a vector, bits int) encoded {
	e := two(0x4f000400|uint32(64-bits)<<16, "sshr", to, "4s", a, "4s")
	return encoded{e.code, fmt.Sprintf("%s, #%d", e.text, bits)}
}

// shll is to[i] = from[i]·2¹⁶ for the four elements of 16 bits in the lower half of from, in the upper one if that is set.
func shll(to, from vector, upper bool) encoded {
	code := 0x2e613800 | uint32(from)<<5 | uint32(to)
	if upper {
		return encoded{code | 1<<30, fmt.Sprintf("shll2 v%d.4s, v%d.8h, #16", to, from)}
	}
	return encoded{code, fmt.Sprintf("shll v%d.4s, v%d.4h, #16", to, from)}
}

// bic clears the n-th byte of each element of 32 bits: the lowest for 0, the one above for 1.
func bic(v vector, n int) encoded {
	return encoded{0x6f0717e0 | uint32(n)<<13 | uint32(v), fmt.Sprintf("bic v%d.4s, #0xff, lsl #%d", v, 8*n)}
}

// prefetchUnscaled prefetches the cache line some bytes behind a register, up to 255, into the second level.
func prefetchUnscaled(base general, bytes int) encoded {
	return encoded{0xf8800002 | uint32(bytes)<<12 | uint32(base)<<5, fmt.Sprintf("prfum pldl2keep, [x%d, #%d]", int(base), bytes)}
}
