package main

import (
	"fmt"
	"strings"
)

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

// doubles makes an instruction on float32 one on float64, two of them.
func doubles(e encoded) encoded {
	return encoded{e.code | 1<<22, strings.ReplaceAll(e.text, ".4s", ".2d")}
}

// shorts makes an instruction on four integers of 32 bits one on eight of 16.
func shorts(e encoded) encoded {
	return encoded{e.code ^ 3<<22, strings.NewReplacer(".4s", ".8h", "v s", "v h").Replace(e.text)}
}

// Arithmetic on float32: to = a ∘ b. The greater and the lesser one of two is NaN if one of them is.
func fadd(to, a, b vector) encoded { return three(0x4e20d400, "fadd", to, a, b) }
func fsub(to, a, b vector) encoded { return three(0x4ea0d400, "fsub", to, a, b) }
func fmul(to, a, b vector) encoded { return three(0x6e20dc00, "fmul", to, a, b) }
func fdiv(to, a, b vector) encoded { return three(0x6e20fc00, "fdiv", to, a, b) }
func fmax(to, a, b vector) encoded { return three(0x4e20f400, "fmax", to, a, b) }
func fmin(to, a, b vector) encoded { return three(0x4ea0f400, "fmin", to, a, b) }
func fabs(to, a vector) encoded    { return two(0x4ea0f800, "fabs", to, "4s", a, "4s") }

// fmaxnm and fminnm are the greater and the lesser one of two, of which one that is NaN does not count.
func fmaxnm(to, a, b vector) encoded { return three(0x4e20c400, "fmaxnm", to, a, b) }
func fminnm(to, a, b vector) encoded { return three(0x4ea0c400, "fminnm", to, a, b) }

// frintn rounds to the nearest integer, ties to even, and fcvtns makes that an integer.
func frintn(to, a vector) encoded { return two(0x4e218800, "frintn", to, "4s", a, "4s") }
func fcvtns(to, a vector) encoded { return two(0x4e21a800, "fcvtns", to, "4s", a, "4s") }

// fmaxv is to[0] = the greatest element of a.
func fmaxv(to, a vector) encoded {
	return encoded{0x6e30f800 | uint32(a)<<5 | uint32(to), fmt.Sprintf("fmaxv s%d, v%d.4s", to, a)}
}

// smax is to = the greater one of a and b, numbers with a sign; smaxv is to[0] = the greatest element of a.
func smax(to, a, b vector) encoded { return three(0x4ea06400, "smax", to, a, b) }
func smaxv(to, a vector) encoded {
	return encoded{0x4eb0a800 | uint32(a)<<5 | uint32(to), fmt.Sprintf("smaxv s%d, v%d.4s", to, a)}
}

// faddp is to = the sums of each two neighbours in a, then of those in b.
func faddp(to, a, b vector) encoded { return three(0x6e20d400, "faddp", to, a, b) }

// fcmeq sets all bits of an element of to where a = b, none where not.
func fcmeq(to, a, b vector) encoded { return three(0x4e20e400, "fcmeq", to, a, b) }

// cmge, of integers with a sign, and fcmgt do so where a ≥ b and where a > b.
func cmge(to, a, b vector) encoded  { return three(0x4ea03c00, "cmge", to, a, b) }
func fcmgt(to, a, b vector) encoded { return three(0x6ea0e400, "fcmgt", to, a, b) }

// bicVector is to = a ∧ ¬b.
func bicVector(to, a, b vector) encoded {
	e := three(0x4e601c00, "bic", to, a, b)
	return encoded{e.code, strings.ReplaceAll(e.text, "4s", "16b")}
}

// fmlaLane is to += a · b[lane], rounded once.
func fmlaLane(to, a, b vector, lane int) encoded {
	e := three(0x4f801000, "fmla", to, a, b)
	l := uint32(lane)
	return encoded{e.code | l&1<<21 | l>>1<<11, fmt.Sprintf("fmla v%d.4s, v%d.4s, v%d.s[%d]", to, a, b, lane)}
}

// fmulLane is to = a · b[lane], fmulDouble on float64 a · b[0].
func fmulLane(to, a, b vector, lane int) encoded {
	e := fmlaLane(to, a, b, lane)
	return encoded{e.code ^ 0x8000, strings.Replace(e.text, "fmla", "fmul", 1)}
}
func fmulDouble(to, a, b vector) encoded {
	return encoded{0x4fc09000 | uint32(b)<<16 | uint32(a)<<5 | uint32(to), fmt.Sprintf("fmul v%d.2d, v%d.2d, v%d.d[0]", to, a, b)}
}

// fcvtl makes two float32 float64: the lower ones, or the upper two.
func fcvtl(to, from vector, upper bool) encoded {
	if upper {
		return two(0x4e617800, "fcvtl2", to, "2d", from, "4s")
	}
	return two(0x0e617800, "fcvtl", to, "2d", from, "2s")
}

// fcvtn rounds two float64 to float32, the lower ones of to, the upper two then being 0, or the upper two.
func fcvtn(to, from vector, upper bool) encoded {
	if upper {
		return two(0x4e616800, "fcvtn2", to, "4s", from, "2d")
	}
	return two(0x0e616800, "fcvtn", to, "2s", from, "2d")
}

// fcvtlHalves makes four float16 float32: the lower ones, or the upper four.
func fcvtlHalves(to, from vector, upper bool) encoded {
	if upper {
		return two(0x4e217800, "fcvtl2", to, "4s", from, "8h")
	}
	return two(0x0e217800, "fcvtl", to, "4s", from, "4h")
}

// sxtlBytes makes the lower eight numbers of 8 bits with a sign 16 bits wide, and sxtl four of 16 bits 32 bits wide: the lower ones, or the
// upper four. scvtf makes such numbers float32.
func sxtlBytes(to, from vector) encoded { return two(0x0f08a400, "sxtl", to, "8h", from, "8b") }
func sxtl(to, from vector, upper bool) encoded {
	if upper {
		return two(0x4f10a400, "sxtl2", to, "4s", from, "8h")
	}
	return two(0x0f10a400, "sxtl", to, "4s", from, "4h")
}
func scvtf(to, a vector) encoded { return two(0x4e21d800, "scvtf", to, "4s", a, "4s") }

// smlal is to += a·b of the lower four numbers of 16 bits with a sign, or of the upper ones.
func smlal(to, a, b vector, upper bool) encoded {
	code := 0x0e608000 | uint32(b)<<16 | uint32(a)<<5 | uint32(to)
	if upper {
		return encoded{code | 1<<30, fmt.Sprintf("smlal2 v%d.4s, v%d.8h, v%d.8h", to, a, b)}
	}
	return encoded{code, fmt.Sprintf("smlal v%d.4s, v%d.4h, v%d.4h", to, a, b)}
}

// pairSums is to = the sums of each two neighbours of eight numbers of 16 bits with a sign, or adds them to it.
func pairSums(to, from vector, add bool) encoded {
	if add {
		return two(0x4e606800, "sadalp", to, "4s", from, "8h")
	}
	return two(0x4e602800, "saddlp", to, "4s", from, "8h")
}

// sshr shifts numbers with a sign to the right by 1 to 32 bits.
func sshr(to, a vector, bits int) encoded {
	e := two(0x4f000400|uint32(64-bits)<<16, "sshr", to, "4s", a, "4s")
	return encoded{e.code, fmt.Sprintf("%s, #%d", e.text, bits)}
}

// sshrLong shifts numbers of 64 bits with a sign to the right by 1 to 64 bits.
func sshrLong(to, a vector, bits int) encoded {
	e := two(0x4f000400|uint32(128-bits)<<16, "sshr", to, "2d", a, "2d")
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

// prefetchIndexed prefetches the cache line as many bytes behind a register as another says.
func prefetchIndexed(base, behind general) encoded {
	return encoded{0xf8a06800 | uint32(behind)<<16 | uint32(base)<<5, fmt.Sprintf("prfm pldl1keep, [x%d, x%d]", int(base), int(behind))}
}

// storeNonTemporal stores two vectors some bytes behind a register, a multiple of 16, with a hint to do so past the caches.
func storeNonTemporal(a, b vector, base general, bytes int) encoded {
	return encoded{
		0xac000000 | uint32(bytes/16)<<15 | uint32(b)<<10 | uint32(base)<<5 | uint32(a),
		fmt.Sprintf("stnp q%d, q%d, [x%d, #%d]", a, b, int(base), bytes),
	}
}
