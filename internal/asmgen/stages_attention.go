package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// positionGroup is the positions whose scores are computed side by side.
const positionGroup = 4

// mostHeads is how many query heads the attention kernels take at a time.
func (g *gen) mostHeads() int {
	if g.wide() {
		return 4
	}
	return 2
}

// forHeads writes a body for each number of heads and the choice between them.
func (g *gen) forHeads(body func(heads int)) {
	g.load("heads", reg.RCX)
	for heads := 1; heads <= g.mostHeads(); heads++ {
		g.CMPQ(reg.RCX, operand.I32(heads))
		g.JE(operand.LabelRef(fmt.Sprintf("heads%d", heads)))
	}
	g.RET()
	for heads := 1; heads <= g.mostHeads(); heads++ {
		g.Label(fmt.Sprintf("heads%d", heads))
		body(heads)
		g.end()
	}
}

// ofRow is the address of row i, from 0 to 3; ld3 is three times the distance between rows.
func ofRow(base, ld, ld3 reg.GPPhysical, i, offset int) mem {
	row := []mem{{Base: base}, {Base: base, Index: ld, Scale: 1}, {Base: base, Index: ld, Scale: 2}, {Base: base, Index: ld3, Scale: 1}}[i]
	row.Disp = offset
	return row
}

// attentionStep is the elements of a head that are loaded at a time. bfloat16 is loaded in pairs, the even and the odd elements into
// a vector each; what meets it is in split order: of so many elements the even ones first.
func (g *gen) attentionStep(e element) int {
	if e.narrow() {
		return g.stepOf()
	}
	return g.lanes
}

// splitOrder says so.
func splitOrder(e element, operand string) string {
	if e.narrow() {
		return " Rows of " + operand + " are in split order."
	}
	return ""
}

// attentionSum is the register of sum j of head i.
func (g *gen) attentionSum(i, j int) vec { return g.vecs[len(g.vecs)-1-i*4-j] }

// scores writes the dots of query heads with keys.
func (g *gen) scores(e element) {
	name := "scores" + e.name
	g.function(name, fmt.Sprintf("func(out *float32, ldo int, q *float32, ldq int, keys %s, ldk, d, positions, heads, ahead int)", e.goType),
		fmt.Sprintf("%s%s computes out[i,j] = Σ q[i,k]·keys[j,k] for k below d, a multiple of %d, positions j, a multiple of %d, and heads i in [1,%d].",
			name, g.suffix, g.attentionStep(e), positionGroup, g.mostHeads()),
		"Rows are ldo, ldq and ldk bytes apart. What is ahead bytes behind the keys is prefetched. A sum does not depend on what else is computed."+splitOrder(e, "q"))
	out, ldo, q, ldq, ldq3 := reg.R10, reg.R11, reg.RAX, reg.RBX, reg.RCX
	keys, ldk, ldk3, d, positions, key, next := reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R12, reg.R13
	mask := g.vecs[positionGroup+1]
	g.forHeads(func(heads int) {
		g.load("out", out)
		g.load("ldo", ldo)
		g.load("ldq", ldq)
		g.LEAQ(mem{Base: ldq, Index: ldq, Scale: 2}, ldq3)
		g.load("keys", keys)
		g.load("ldk", ldk)
		g.LEAQ(mem{Base: ldk, Index: ldk, Scale: 2}, ldk3)
		g.load("positions", positions)
		label := fmt.Sprintf("positions%d", heads)
		g.loop(label, positions, positionGroup, func() {
			if e.narrow() {
				g.upperMask(mask)
			}
			for i := range heads {
				for j := range positionGroup {
					g.zero(g.attentionSum(i, j))
				}
			}
			g.load("q", q)
			g.load("d", d)
			g.MOVQ(keys, key)
			g.load("ahead", next)
			g.ADDQ(key, next)
			products := func(at int, load func(from mem, to vec)) { // of a vector of q and those of keys
				for j := range positionGroup {
					load(ofRow(key, ldk, ldk3, j, at/g.attentionStep(e)*g.attentionStep(e)*e.size), g.vecs[j])
				}
				for i := range heads {
					g.VMOVUPS(ofRow(q, ldq, ldq3, i, 4*at), g.vecs[positionGroup])
					for j := range positionGroup {
						g.VFMADD231PS(g.vecs[positionGroup], g.vecs[j], g.attentionSum(i, j))
					}
				}
			}
			step := func(at int) { // the elements from one on
				if e.narrow() {
					products(at, g.lowerHalves)
					products(at+g.lanes, func(from mem, to vec) { g.and(from, mask, to) })
					return
				}
				products(at, func(from mem, to vec) { g.VMOVUPS(from, to) })
			}
			line := 64 / e.size // elements
			g.loop(label+"_lines", d, line, func() {
				for j := range positionGroup {
					g.PREFETCHT0(ofRow(next, ldk, ldk3, j, 0))
				}
				for at := 0; at < line; at += g.attentionStep(e) {
					step(at)
				}
				g.ADDQ(operand.I32(4*line), q)
				g.ADDQ(operand.I32(64), key)
				g.ADDQ(operand.I32(64), next)
			})
			g.loop(label+"_rest", d, g.attentionStep(e), func() {
				step(0)
				g.ADDQ(operand.I32(4*g.attentionStep(e)), q)
				g.ADDQ(operand.I32(e.size*g.attentionStep(e)), key)
			})
			g.MOVQ(out, key)
			for i := range heads {
				g.fourSums(func(j int) vec { return g.attentionSum(i, j) })
				g.VMOVUPS(reg.X0, mem{Base: key})
				g.ADDQ(ldo, key)
			}
			g.ADDQ(operand.I32(4*positionGroup), out)
			g.LEAQ(mem{Base: keys, Index: ldk, Scale: positionGroup}, keys)
		})
	})
}

// fourSums adds up the elements of each of four vectors: the sums are the elements of X0.
func (g *gen) fourSums(of func(j int) vec) {
	var rows [4]operand.Op
	for j := range rows {
		rows[j] = of(j)
		if g.wide() {
			low, high := g.vecs[4+j].AsY(), g.vecs[j].AsY()
			g.VMOVUPS(of(j), g.vecs[4+j])
			g.VEXTRACTF64X4(operand.U8(1), g.vecs[4+j], high)
			g.VADDPS(low, high, high)
			rows[j] = high
		}
	}
	g.VHADDPS(rows[1], rows[0], reg.Y0)
	g.VHADDPS(rows[3], rows[2], reg.Y1)
	g.VHADDPS(reg.Y1, reg.Y0, reg.Y0)
	g.VEXTRACTF128(operand.U8(1), reg.Y0, reg.X1)
	g.VADDPS(reg.X1, reg.X0, reg.X0)
}

// mix writes the weighted sums of values.
func (g *gen) mix(e element) {
	name := "mix" + e.name
	g.function(name, fmt.Sprintf("func(out *float32, ldo int, weights *float32, ldw int, values %s, ldv, d, positions, heads, ahead int)", e.goType),
		fmt.Sprintf("%s%s adds Σ weights[i,j]·values[j,k] over positions j to out[i,k] for k below d, a multiple of %d, and heads i in [1,%d].",
			name, g.suffix, g.attentionStep(e), g.mostHeads()),
		"Rows are ldo, ldw and ldv bytes apart. What is ahead bytes behind the values is prefetched. Products are added one after the other, with one rounding each."+splitOrder(e, "out"))
	out, ldo, ldo3 := reg.RAX, reg.RBX, reg.RCX
	weights, ldw, ldw3 := reg.RDX, reg.RSI, reg.RDI
	values, ldv, d, positions, value, next := reg.R8, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13
	const columns = 4 // vectors
	weight, mask := g.vecs[columns], g.vecs[columns+1]
	g.forHeads(func(heads int) {
		g.load("out", out)
		g.load("ldo", ldo)
		g.LEAQ(mem{Base: ldo, Index: ldo, Scale: 2}, ldo3)
		g.load("ldw", ldw)
		g.LEAQ(mem{Base: ldw, Index: ldw, Scale: 2}, ldw3)
		g.load("values", values)
		g.load("ldv", ldv)
		g.load("d", d)
		if e.narrow() {
			g.upperMask(mask)
		}
		for _, vectors := range []int{columns, g.attentionStep(e) / g.lanes} {
			label := fmt.Sprintf("columns%d_%d", vectors, heads)
			each := func(do func(sum vec, at mem)) {
				for i := range heads {
					for j := range vectors {
						do(g.attentionSum(i, j), ofRow(out, ldo, ldo3, i, j*g.bytes()))
					}
				}
			}
			g.loop(label, d, vectors*g.lanes, func() {
				each(func(sum vec, at mem) { g.VMOVUPS(at, sum) })
				g.load("weights", weights)
				g.load("positions", positions)
				g.MOVQ(values, value)
				g.load("ahead", next)
				g.ADDQ(value, next)
				g.loop(label+"_positions", positions, 1, func() {
					for line := 0; line < vectors*g.lanes*e.size; line += 64 {
						g.PREFETCHT0(mem{Base: next, Disp: line})
					}
					for j := range vectors {
						switch {
						case !e.narrow():
							g.VMOVUPS(mem{Base: value, Disp: j * g.bytes()}, g.vecs[j])
						case j%2 == 0:
							g.lowerHalves(mem{Base: value, Disp: j / 2 * g.bytes()}, g.vecs[j])
						default:
							g.and(mem{Base: value, Disp: j / 2 * g.bytes()}, mask, g.vecs[j])
						}
					}
					for i := range heads {
						g.VBROADCASTSS(ofRow(weights, ldw, ldw3, i, 0), weight)
						for j := range vectors {
							g.VFMADD231PS(weight, g.vecs[j], g.attentionSum(i, j))
						}
					}
					g.ADDQ(operand.I32(4), weights)
					g.ADDQ(ldv, value)
					g.ADDQ(ldv, next)
				})
				each(func(sum vec, at mem) { g.VMOVUPS(sum, at) })
				g.ADDQ(operand.I32(vectors*g.bytes()), out)
				g.ADDQ(operand.I32(vectors*g.lanes*e.size), values)
			})
		}
	})
}

// Constants of the exponential.
const (
	expLog2e = iota
	expLn2
	expLn2Rest
	expBias
	expLeast // below it is 0
	expOne
	expPowers // 1/7!, 1/6! … 1/2!
)

// expBits are the bits of these numbers.
func expBits() []uint32 {
	f := math.Float32bits
	list := []uint32{f(math.Log2E), f(0x1.62e4p-1), f(math.Ln2 - 0x1.62e4p-1), 127, f(-87), f(1)}
	for n := 7; n >= 2; n-- {
		list = append(list, f(float32(1/math.Gamma(float64(n+1)))))
	}
	return list
}

// exp computes e^x for x up to 0 within 2⁻²² of itself: 0 below −87, NaN for NaN. x is changed, k is for its use.
//
// With x = k·ln 2 + r it is the Taylor polynomial of e^r of degree 7 times 2^k.
func (g *gen) exp(x, k, mask, to vec) {
	const notLess, nearest = 5, 8
	g.VMOVUPS(exponential.line(expLeast), to)
	if g.wide() {
		g.VCMPPS(operand.U8(notLess), to, x, reg.K1)
	} else {
		g.VCMPPS(operand.U8(notLess), to, x, mask)
	}
	g.VMAXPS(x, to, x) // the second if one is NaN, which is x
	g.VMULPS(exponential.line(expLog2e), x, k)
	if g.wide() {
		g.VRNDSCALEPS(operand.U8(nearest), k, k)
	} else {
		g.VROUNDPS(operand.U8(nearest), k, k)
	}
	g.VFNMADD231PS(exponential.line(expLn2), k, x)
	g.VFNMADD231PS(exponential.line(expLn2Rest), k, x)
	g.VMOVUPS(exponential.line(expPowers), to)
	for i := 1; i < 6; i++ {
		g.VFMADD213PS(exponential.line(expPowers+i), x, to)
	}
	g.VFMADD213PS(exponential.line(expOne), x, to)
	g.VFMADD213PS(exponential.line(expOne), x, to)
	g.VCVTPS2DQ(k, k)
	g.VPADDD(exponential.line(expBias), k, k)
	g.VPSLLD(operand.U8(23), k, k)
	g.VMULPS(k, to, to)
	if g.wide() {
		g.VMOVAPS_Z(to, reg.K1, to)
	} else {
		g.and(mask, to, to)
	}
}

// softmax writes the exponentials of scores.
func (g *gen) softmax() {
	g.function("softmax", "func(scores *float32, n int, scale float32, total *float32) float32",
		fmt.Sprintf("softmax%s replaces each of n scores s, a multiple of %d, by e^(scale·(s − the greatest)), gives the greatest and sets total to the sum.",
			g.suffix, g.lanes),
		"The greatest is −MaxFloat32 at least, so that scores of −Inf become 0 even if there are no others. scale is positive. A score of NaN becomes NaN, and so does the sum; whether it counts for the greatest is undefined.")
	scores, n := reg.RAX, reg.RBX
	x, k, mask, to, most, sum, scale := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3], g.vecs[4], g.vecs[5], g.vecs[6]
	across := func(v vec, do func(a, b, to operand.Op)) {
		if g.wide() {
			g.VEXTRACTF64X4(operand.U8(1), v, x.AsY())
			do(x.AsY(), v.AsY(), v.AsY())
		}
		g.VEXTRACTF128(operand.U8(1), v.AsY(), x.AsX())
		do(x.AsX(), v.AsX(), v.AsX())
		for _, order := range []uint64{0x4e, 0xb1} {
			g.VPSHUFD(operand.U8(order), v.AsX(), x.AsX())
			do(x.AsX(), v.AsX(), v.AsX())
		}
	}
	g.constant(math.Float32bits(-math.MaxFloat32), most)
	g.load("scores", scores)
	g.load("n", n)
	g.loop("most", n, g.lanes, func() {
		g.VMAXPS(mem{Base: scores}, most, most)
		g.ADDQ(operand.I32(g.bytes()), scores)
	})
	across(most, func(a, b, to operand.Op) { g.VMAXPS(a, b, to) })
	g.Store(most.AsX(), g.ReturnIndex(0))
	g.VBROADCASTSS(most.AsX(), most)
	address, err := g.Param("scale").Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSS(address.Addr, scale)
	g.zero(sum)
	g.load("scores", scores)
	g.load("n", n)
	g.loop("weights", n, g.lanes, func() {
		g.VMOVUPS(mem{Base: scores}, x)
		g.VSUBPS(most, x, x)
		g.VMULPS(scale, x, x)
		g.exp(x, k, mask, to)
		g.VADDPS(to, sum, sum)
		g.VMOVUPS(to, mem{Base: scores})
		g.ADDQ(operand.I32(g.bytes()), scores)
	})
	across(sum, func(a, b, to operand.Op) { g.VADDPS(a, b, to) })
	g.load("total", scores)
	g.VMOVSS(sum.AsX(), mem{Base: scores})
	g.end()
}
