package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// stages writes the kernels of the stages beside the products.
func (g *gen) stages() {
	g.roundTable()
	define(g, exponential, expBits())
	define(g, angleConstants, angleBits())
	g.codeTable()
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
	g.angles()
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

// weighted writes the weighted sum of rows. Of bfloat16, a line takes so many instructions that few lines are under way at a time,
// unless they are prefetched; of float32, the processor's own prefetching keeps up.
func (g *gen) weighted(e element) {
	name, prefetched := "weighted"+e.name, ""
	if e.narrow() {
		prefetched = " The rows that are next[i] bytes behind from are prefetched."
	}
	g.function(name, fmt.Sprintf("func(to, from %s, at, next *int, weights *float32, terms, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[j] = Σ weights[i]·(the element j of the row that is at[i] bytes behind from) for j below n, %s.",
			name, g.suffix, g.multiple()),
		"Terms are added one after the other to 0, each product and each sum rounded to float32. "+prefetched,
		fmt.Sprintf("If past is not 0, to must be a multiple of %d, and is written past the caches; a fence must follow.", g.bytes()))
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	at, weights, terms, row, next, ahead := reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R10, reg.R11
	x, weight, upper := g.vecs[8:10], g.vecs[10], g.vecs[11]
	s := store{e, g.vecs[12:15]}
	if e.narrow() {
		g.upperMask(upper)
	}
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.load("past", past)
	for _, vectors := range []int{8, 2} {
		sums, label := g.vecs[:vectors], fmt.Sprintf("columns%d", vectors)
		g.loop(label, n, vectors*g.lanes, func() {
			for _, sum := range sums {
				g.zero(sum)
			}
			g.load("at", at)
			if e.narrow() {
				g.load("next", next)
			}
			g.load("weights", weights)
			g.load("terms", terms)
			g.loop(label+"_terms", terms, 1, func() {
				g.MOVQ(mem{Base: at}, row)
				g.VBROADCASTSS(mem{Base: weights}, weight)
				if e.narrow() {
					g.MOVQ(mem{Base: next}, ahead)
					for line := 0; line < vectors*g.lanes*e.size; line += 64 {
						g.PREFETCHT0(mem{Base: ahead, Index: from, Scale: 1, Disp: line})
					}
					g.ADDQ(operand.I32(8), next)
				}
				for j := 0; j < vectors; j += 2 {
					g.loadSplit(e, upper, mem{Base: row, Index: from, Scale: 1, Disp: j * g.lanes * e.size}, x[0], x[1])
					for i, x := range x {
						g.VMULPS(weight, x, x)
						g.VADDPS(x, sums[j+i], sums[j+i])
					}
				}
				g.ADDQ(operand.I32(8), at)
				g.ADDQ(operand.I32(4), weights)
			})
			var rows []stored
			for j := 0; j < vectors; j += 2 {
				rows = append(rows, g.pair(s, sums[j], sums[j+1], true, mem{Base: to, Disp: j * g.lanes * e.size})...)
			}
			g.put(rows)
			g.ADDQ(operand.I32(vectors*g.lanes*e.size), from)
			g.ADDQ(operand.I32(vectors*g.lanes*e.size), to)
		})
	}
	g.end()
}

// add writes the sum of two rows.
func (g *gen) add(e element) {
	name := "add" + e.name
	g.function(name, fmt.Sprintf("func(to, a, b %s, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[j] = a[j] + b[j] for j below n, %s; to may be a or b.", name, g.suffix, g.multiple()),
		fmt.Sprintf("If past is not 0, to must be a multiple of %d, and is written past the caches; a fence must follow.", g.bytes()))
	to, a, b, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	upper, s := g.vecs[4], store{e, g.vecs[5:8]}
	if e.narrow() {
		g.upperMask(upper)
	}
	g.load("past", past)
	g.load("to", to)
	g.load("a", a)
	g.load("b", b)
	g.load("n", n)
	g.loop("loop", n, g.stepOf(), func() {
		g.loadSplit(e, upper, mem{Base: a}, g.vecs[0], g.vecs[1])
		g.loadSplit(e, upper, mem{Base: b}, g.vecs[2], g.vecs[3])
		for j := range 2 {
			g.VADDPS(g.vecs[2+j], g.vecs[j], g.vecs[j])
		}
		g.put(g.pair(s, g.vecs[0], g.vecs[1], true, mem{Base: to}))
		for _, pointer := range []reg.GPPhysical{to, a, b} {
			g.ADDQ(operand.I32(g.stepOf()*e.size), pointer)
		}
	})
	g.end()
}
