package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// stages writes the kernels of the stages beside the products.
func (g *gen) stages() {
	g.stream()
	g.fence()
	for _, e := range []element{{"F32", "*float32", 4}, {"BF16", "*uint16", 2}} {
		g.weighted(e)
		g.add(e)
		g.squares(e)
		g.norm(e)
		g.turn(e)
		g.largest(e)
		g.codes(e)
		g.scores(e)
		g.mix(e)
	}
	g.softmax()
}

// element is what the elements of a kernel's operands are in memory: float32 or bfloat16. In registers they are float32.
type element struct {
	name, goType string
	size         int // bytes
}

func (e element) narrow() bool { return e.size == 2 }

// stepOf is the elements that a kernel of rows takes at a time: two vectors, which as bfloat16 fill one.
func (g *gen) stepOf() int { return 2 * g.lanes }

func (g *gen) multiple() string { return fmt.Sprintf("a multiple of %d", g.stepOf()) }

// loadFloats loads a vector of elements.
func (g *gen) loadFloats(e element, from mem, to vec) {
	if e.narrow() {
		g.VPMOVZXWD(from, to)
		g.VPSLLD(operand.U8(16), to, to)
		return
	}
	g.VMOVUPS(from, to)
}

// half is the lower half of a register.
func (g *gen) half(v vec) operand.Op {
	if g.wide() {
		return v.AsY()
	}
	return v.AsX()
}

// rounding holds what rounding float32 to bfloat16 needs: three constants and two registers for its use.
type rounding struct{ one, below, quiet, nan, mask vec }

// newRounding makes the constants: 1, just below half a unit, and the quiet bit.
func (g *gen) newRounding(one, below, quiet, nan, mask vec) rounding {
	g.ones(one)
	g.VPSRLD(operand.U8(17), one, below)
	g.VPSRLD(operand.U8(31), one, one)
	g.VPSLLD(operand.U8(6), one, quiet)
	return rounding{one, below, quiet, nan, mask}
}

// round makes the bfloat16 nearest to each float32, ties to even, in the lower half of its 32 bits; a NaN keeps its sign and upper
// bits and becomes quiet. x is kept.
func (g *gen) round(r rounding, x, to vec) {
	const unordered = 3
	g.VPSRLD(operand.U8(16), x, r.nan)
	g.and(r.nan, r.one, to)
	g.VPADDD(r.below, to, to)
	g.VPADDD(x, to, to)
	g.VPSRLD(operand.U8(16), to, to)
	g.or(r.quiet, r.nan, r.nan)
	if g.wide() {
		g.VCMPPS(operand.U8(unordered), x, x, reg.K1)
		g.VPBLENDMD(r.nan, to, reg.K1, to)
		return
	}
	g.VCMPPS(operand.U8(unordered), x, x, r.mask)
	g.VBLENDVPS(r.mask, r.nan, to, to)
}

// store is how vectors go to memory.
type store struct {
	e    element
	r    rounding // for bfloat16
	temp vec
	past bool // past the caches
}

// pair stores two vectors of float32 as elements side by side. It changes the vectors.
func (g *gen) pair(s store, a, b vec, to mem) {
	if !s.e.narrow() {
		for i, v := range []vec{a, b} {
			at := to
			at.Disp += i * g.bytes()
			if s.past {
				g.VMOVNTPS(v, at)
			} else {
				g.VMOVUPS(v, at)
			}
		}
		return
	}
	g.round(s.r, a, s.temp)
	if g.wide() {
		g.VPMOVDW(s.temp, a.AsY())
		g.round(s.r, b, s.temp)
		g.VPMOVDW(s.temp, b.AsY())
		g.VINSERTF64X4(operand.U8(1), b.AsY(), a, a)
	} else {
		g.round(s.r, b, a)
		g.VPACKUSDW(a, s.temp, a)
		g.VPERMQ(operand.U8(0xd8), a, a)
	}
	if s.past {
		g.VMOVNTDQ(a, to)
	} else {
		g.VMOVUPS(a, to)
	}
}

// split is what it takes to have the even elements of bfloat16 in one vector and the odd ones in another: masks of the upper halves
// and of their quiet bits.
type split struct{ upper, quiet vec }

func (g *gen) newSplit(r rounding, upper, quiet vec) split {
	g.upperMask(upper)
	g.VPSLLD(operand.U8(16), r.quiet, quiet)
	return split{upper, quiet}
}

// loadSplit loads two vectors: elements of float32 side by side, those of bfloat16 split, which takes fewer instructions.
func (g *gen) loadSplit(e element, p split, from mem, a, b vec) {
	g.VMOVUPS(from, a)
	if e.narrow() {
		g.and(a, p.upper, b)
		g.VPSLLD(operand.U8(16), a, a)
		return
	}
	from.Disp += g.bytes()
	g.VMOVUPS(from, b)
}

// storeSplit stores what loadSplit loads. It changes the vectors.
func (g *gen) storeSplit(s store, p split, a, b vec, to mem) {
	if !s.e.narrow() {
		g.pair(s, a, b, to)
		return
	}
	const unordered = 3
	g.round(s.r, a, s.temp)
	g.VPSRLD(operand.U8(16), b, a)
	g.and(a, s.r.one, a)
	g.VPADDD(s.r.below, a, a)
	g.VPADDD(b, a, a)
	g.or(p.quiet, b, s.r.nan)
	if g.wide() {
		g.VCMPPS(operand.U8(unordered), b, b, reg.K1)
		g.VPBLENDMD(s.r.nan, a, reg.K1, a)
	} else {
		g.VCMPPS(operand.U8(unordered), b, b, s.r.mask)
		g.VBLENDVPS(s.r.mask, s.r.nan, a, a)
	}
	g.and(a, p.upper, a)
	g.or(s.temp, a, a)
	if s.past {
		g.VMOVNTDQ(a, to)
	} else {
		g.VMOVUPS(a, to)
	}
}

// stream writes the copy past the caches.
func (g *gen) stream() {
	g.function("stream", "func(to, from *byte, n int)",
		fmt.Sprintf("stream%s copies n bytes, a multiple of 64, to an address that is one, past the caches. A fence must follow.", g.suffix))
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	for _, bytes := range []int{256, 64} {
		g.loop(fmt.Sprintf("loop%d", bytes), n, bytes, func() {
			for i := range bytes / g.bytes() {
				g.VMOVUPS(mem{Base: from, Disp: i * g.bytes()}, g.vecs[i])
			}
			for i := range bytes / g.bytes() {
				g.VMOVNTPS(g.vecs[i], mem{Base: to, Disp: i * g.bytes()})
			}
			g.ADDQ(operand.I32(bytes), from)
			g.ADDQ(operand.I32(bytes), to)
		})
	}
	g.end()
}

// fence writes the barrier behind stores past the caches.
func (g *gen) fence() {
	g.function("fence", "func()", fmt.Sprintf("fence%s makes stores past the caches visible before all that follow.", g.suffix))
	g.SFENCE()
	g.RET()
}

// weightedAhead is how far ahead rows are prefetched, in bytes: across the ends of pages, where the processor's own prefetching stops.
const weightedAhead = 1024

// weighted writes the weighted sum of rows.
func (g *gen) weighted(e element) {
	name := "weighted" + e.name
	g.function(name, fmt.Sprintf("func(to, from %s, at *int, weights *float32, terms, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[j] = Σ weights[i]·(the element j of the row that is at[i] bytes behind from) for j below n, %s.",
			name, g.suffix, g.multiple()),
		"Terms are added one after the other to 0, each product and each sum rounded to float32.",
		fmt.Sprintf("If past is not 0, to must be a multiple of %d, and is written past the caches; a fence must follow.", g.bytes()))
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	at, weights, terms, row := reg.RDX, reg.RSI, reg.RDI, reg.R8
	sums, x, weight := g.vecs[:4], g.vecs[4:6], g.vecs[6]
	s := store{e: e, temp: g.vecs[7]}
	var p split
	if e.narrow() {
		s.r = g.newRounding(g.vecs[8], g.vecs[9], g.vecs[10], g.vecs[11], g.vecs[12])
		p = g.newSplit(s.r, g.vecs[13], g.vecs[14])
	}
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	for _, vectors := range []int{4, 2} {
		sums, label := sums[:vectors], fmt.Sprintf("columns%d", vectors)
		g.loop(label, n, vectors*g.lanes, func() {
			for _, sum := range sums {
				g.zero(sum)
			}
			g.load("at", at)
			g.load("weights", weights)
			g.load("terms", terms)
			g.loop(label+"_terms", terms, 1, func() {
				g.MOVQ(mem{Base: at}, row)
				g.ADDQ(from, row)
				g.VBROADCASTSS(mem{Base: weights}, weight)
				for line := 0; line < vectors*g.lanes*e.size; line += 64 {
					g.PREFETCHT0(mem{Base: row, Disp: line + weightedAhead})
				}
				for j := 0; j < vectors; j += 2 {
					g.loadSplit(e, p, mem{Base: row, Disp: j * g.lanes * e.size}, x[0], x[1])
					for i, x := range x {
						g.VMULPS(weight, x, x)
						g.VADDPS(x, sums[j+i], sums[j+i])
					}
				}
				g.ADDQ(operand.I32(8), at)
				g.ADDQ(operand.I32(4), weights)
			})
			g.pastOrNot(label, s, func(s store) {
				for j := 0; j < vectors; j += 2 {
					g.storeSplit(s, p, sums[j], sums[j+1], mem{Base: to, Disp: j * g.lanes * e.size})
				}
			})
			g.ADDQ(operand.I32(vectors*g.lanes*e.size), from)
			g.ADDQ(operand.I32(vectors*g.lanes*e.size), to)
		})
	}
	g.end()
}

// pastOrNot writes stores twice: past the caches if the parameter past is not 0, and not.
func (g *gen) pastOrNot(label string, s store, stores func(store)) {
	g.load("past", reg.R9)
	g.TESTQ(reg.R9, reg.R9)
	g.JE(operand.LabelRef(label + "_cached"))
	s.past = true
	stores(s)
	g.JMP(operand.LabelRef(label + "_stored"))
	g.Label(label + "_cached")
	s.past = false
	stores(s)
	g.Label(label + "_stored")
}

// add writes the sum of two rows.
func (g *gen) add(e element) {
	name := "add" + e.name
	g.function(name, fmt.Sprintf("func(to, a, b %s, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[j] = a[j] + b[j] for j below n, %s; to may be a or b.", name, g.suffix, g.multiple()),
		fmt.Sprintf("If past is not 0, to must be a multiple of %d, and is written past the caches; a fence must follow.", g.bytes()))
	to, a, b, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	s := store{e: e, temp: g.vecs[4]}
	var p split
	if e.narrow() {
		s.r = g.newRounding(g.vecs[5], g.vecs[6], g.vecs[7], g.vecs[8], g.vecs[9])
		p = g.newSplit(s.r, g.vecs[10], g.vecs[11])
	}
	g.load("to", to)
	g.load("a", a)
	g.load("b", b)
	g.load("n", n)
	g.loop("loop", n, g.stepOf(), func() {
		g.loadSplit(e, p, mem{Base: a}, g.vecs[0], g.vecs[1])
		g.loadSplit(e, p, mem{Base: b}, g.vecs[2], g.vecs[3])
		for j := range 2 {
			g.VADDPS(g.vecs[2+j], g.vecs[j], g.vecs[j])
		}
		g.pastOrNot("loop", s, func(s store) { g.storeSplit(s, p, g.vecs[0], g.vecs[1], mem{Base: to}) })
		for _, pointer := range []reg.GPPhysical{to, a, b} {
			g.ADDQ(operand.I32(g.stepOf()*e.size), pointer)
		}
	})
	g.end()
}
