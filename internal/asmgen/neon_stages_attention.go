package main

import (
	"fmt"
	"math"
)

// neonHeads is how many query heads the attention kernels take at most: with four positions, or four vectors of a head, they have 16
// vectors of sums.
const neonHeads = 4

const neonAttentionSums vector = 16

func neonAttentionSum(head, j int) vector { return neonAttentionSums + vector(4*head+j) }

// neonAttentionStep is the elements of a head that are loaded at a time, with eight of float32 where there are as many.
func neonAttentionStep(e element) int {
	if e.narrow() {
		return neonStep
	}
	return 4
}

// scores writes the dots of query heads with keys.
func (g *neon) scores(e element) {
	const (
		q, key, out, ldo, ldq, ldk     general = 0, 4, 8, 9, 10, 11
		d, positions, keys, ahead, row general = 12, 13, 14, 15, 16
		ks, qs, mask                   vector  = 0, 8, 15 // eight vectors of keys, two of a query
	)
	name := "scores" + e.name
	g.function(name, fmt.Sprintf("func(out *float32, ldo int, q *float32, ldq int, keys %s, ldk, d, positions, heads, ahead int)", e.goType),
		fmt.Sprintf("%sNEON computes out[i,j] = Σ q[i,k]·keys[j,k] for k below d, a multiple of %d, positions j, a multiple of %d, and heads i in [1,%d].",
			name, neonAttentionStep(e), positionGroup, neonHeads),
		"Rows are ldo, ldq and ldk bytes apart. What is ahead bytes behind the keys is prefetched. A sum does not depend on what else is computed."+splitOrder(e, "q"))
	g.choose("heads", neonHeads, func(heads int) {
		g.load("out", out)
		g.load("ldo", ldo)
		g.load("ldq", ldq)
		g.load("keys", keys)
		g.load("ldk", ldk)
		g.load("positions", positions)
		g.load("ahead", ahead)
		if e.narrow() {
			g.upperMask(mask)
		}
		label := fmt.Sprintf("positions%d", heads)
		g.loop(label, positions, positionGroup, func() {
			for i := range heads {
				for j := range positionGroup {
					g.zero(neonAttentionSum(i, j))
				}
			}
			g.load("q", q)
			g.rows(q, heads, ldq)
			g.do("MOVD", keys, key)
			g.rows(key, positionGroup, ldk)
			g.load("d", d)
			products := func(vectors int) { // of one vector or two of each query and each key
				for j := range positionGroup {
					from, k := key+general(j), ks+vector(2*j)
					switch {
					case e.narrow():
						g.do("FMOVQ.P", at(from, 16), (k + 1).scalar())
						g.halves(k+1, mask, k, k+1)
					case vectors == 2:
						g.do("FLDPQ.P", at(from, 32), pair(k, k+1))
					default:
						g.do("FMOVQ.P", at(from, 16), k.scalar())
					}
				}
				for i := range heads {
					q, v := q+general(i), qs+vector(i%2*2)
					if vectors == 2 {
						g.do("FLDPQ.P", at(q, 32), pair(v, v+1))
					} else {
						g.do("FMOVQ.P", at(q, 16), v.scalar())
					}
					for c := range vector(vectors) {
						for j := range positionGroup {
							g.do("VFMLA", (v + c).of("S4"), (ks + vector(2*j) + c).of("S4"), neonAttentionSum(i, j).of("S4"))
						}
					}
				}
			}
			line := 64 / e.size // elements
			g.loop(label+"_lines", d, line, func() {
				for j := range general(positionGroup) {
					g.encoded(prefetchIndexed(key+j, ahead))
				}
				for range line / neonStep {
					products(2)
				}
			})
			g.loop(label+"_rest", d, neonAttentionStep(e), func() { products(neonAttentionStep(e) / 4) })
			g.do("MOVD", out, row)
			for i := range heads {
				sum := func(j int) vector { return neonAttentionSum(i, j) }
				g.fourSums(sum)
				g.do("FMOVQ", sum(0).scalar(), at(row, 0))
				g.do("ADD", ldo, row, row)
			}
			g.do("ADD", 4*positionGroup, out, out)
			g.do("ADD", fmt.Sprintf("%v<<2", ldk), keys, keys)
		})
	})
}

// fourSums adds up the elements of each of four vectors: the sums are the elements of the first.
func (g *neon) fourSums(of func(j int) vector) {
	g.encoded(faddp(of(0), of(0), of(1)))
	g.encoded(faddp(of(2), of(2), of(3)))
	g.encoded(faddp(of(0), of(0), of(2)))
}

// mix writes the weighted sums of values.
func (g *neon) mix(e element) {
	const (
		out, weights, value, ldv, d, positions general = 0, 4, 8, 9, 10, 11
		values, ahead, ldo, ldw                general = 12, 13, 14, 15
		vs, ws, mask                           vector  = 0, 4, 15
		columns                                        = 4 // vectors
		group                                          = 4 // positions whose weights are a vector
	)
	name := "mix" + e.name
	g.function(name, fmt.Sprintf("func(out *float32, ldo int, weights *float32, ldw int, values %s, ldv, d, positions, heads, ahead int)", e.goType),
		fmt.Sprintf("%sNEON adds Σ weights[i,j]·values[j,k] over positions j to out[i,k] for k below d, a multiple of %d, and heads i in [1,%d].",
			name, neonAttentionStep(e), neonHeads),
		"Rows are ldo, ldw and ldv bytes apart. What is ahead bytes behind the values is prefetched. Products are added one after the other, with one rounding each."+splitOrder(e, "out"))
	g.choose("heads", neonHeads, func(heads int) {
		g.load("out", out)
		g.load("ldo", ldo)
		g.rows(out, heads, ldo)
		g.load("ldw", ldw)
		g.load("values", values)
		g.load("ldv", ldv)
		g.load("d", d)
		g.load("ahead", ahead)
		if e.narrow() {
			g.upperMask(mask)
		}
		for _, vectors := range []int{columns, neonAttentionStep(e) / 4} {
			label := fmt.Sprintf("columns%d_%d", vectors, heads)
			g.loop(label, d, 4*vectors, func() {
				for i := range heads {
					for j := range vectors {
						g.do("FMOVQ", at(out+general(i), 16*j), neonAttentionSum(i, j).scalar())
					}
				}
				g.load("weights", weights)
				g.rows(weights, heads, ldw)
				g.load("positions", positions)
				g.do("MOVD", values, value)
				position := func(lane int) {
					g.encoded(prefetchIndexed(value, ahead))
					for j := 0; j < vectors; j += 2 {
						v := vs + vector(j)
						switch {
						case e.narrow():
							g.do("FMOVQ", at(value, 8*j), (v + 1).scalar())
							g.halves(v+1, mask, v, v+1)
						case vectors == 1:
							g.do("FMOVQ", at(value, 0), v.scalar())
						default:
							g.do("FLDPQ", at(value, 16*j), pair(v, v+1))
						}
					}
					g.do("ADD", ldv, value, value)
					for i := range heads {
						for j := range vectors {
							g.encoded(fmlaLane(neonAttentionSum(i, j), vs+vector(j), ws+vector(i), lane))
						}
					}
				}
				several := func(n int, load string) func() {
					return func() {
						for i := range heads {
							g.do(load+".P", at(weights+general(i), 4*n), (ws + vector(i)).scalar())
						}
						for lane := range n {
							position(lane)
						}
					}
				}
				g.loop(label+"_positions", positions, group, several(group, "FMOVQ"))
				g.loop(label+"_rest", positions, 1, several(1, "FMOVS"))
				for i := range heads {
					for j := range vectors {
						g.do("FMOVQ.P", neonAttentionSum(i, j).scalar(), at(out+general(i), 16))
					}
				}
				g.do("ADD", 4*vectors*e.size, values, values)
			})
		}
	})
}

// softmax writes the exponentials of scores, with the steps of the other levels. Constants stay in registers.
func (g *neon) softmax() {
	const (
		scores, n, table                    general = 0, 1, 2
		x, k, less, to, most, sum, scale, t vector  = 0, 1, 2, 3, 4, 5, 6, 7
		numbers                             vector  = 16 // as many as the table has
	)
	number := func(i int) vector { return numbers + vector(i) }
	g.function("softmax", "func(scores *float32, n int, scale float32, total *float32) float32",
		"softmaxNEON replaces each of n scores s, a multiple of 4, by e^(scale·(s − the greatest)), gives the greatest and sets total to the sum.",
		"The greatest is −MaxFloat32 at least, so that scores of −Inf become 0 even if there are no others. scale is positive. A score of NaN becomes NaN, and so does the sum; it does not count for the greatest.")
	g.address("expNumbersNEON", table)
	for i := range expBits() {
		g.do("VLD1R.P", at(table, 4), "["+number(i).of("S4")+"]")
	}
	g.constant(int(math.Float32bits(-math.MaxFloat32)), n, most)
	g.load("scores", scores)
	g.load("n", n)
	g.loop("most", n, 4, func() {
		g.do("FMOVQ.P", at(scores, 16), x.scalar())
		g.encoded(fmaxnm(most, most, x))
	})
	g.encoded(fmaxv(most, most))
	g.result("FMOVS", most.scalar())
	g.do("VDUP", most.of("S[0]"), most.of("S4"))
	g.loadFloat("FMOVS", "scale", scale)
	g.zero(sum)
	g.load("scores", scores)
	g.load("n", n)
	g.loop("weights", n, 4, func() {
		g.do("FMOVQ.P", at(scores, 16), x.scalar())
		g.encoded(fsub(x, x, most))
		g.encoded(fmulLane(x, x, scale, 0))
		// e^x: 0 below expLeast, and NaN for NaN.
		g.encoded(fcmgt(less, number(expLeast), x))
		g.encoded(fmax(x, x, number(expLeast)))
		g.encoded(fmul(k, x, number(expLog2e)))
		g.encoded(frintn(k, k))
		g.do("VFMLS", number(expLn2).of("S4"), k.of("S4"), x.of("S4"))
		g.do("VFMLS", number(expLn2Rest).of("S4"), k.of("S4"), x.of("S4"))
		p := number(expPowers)
		g.polynomial(to, x, t, p, p+1, p+2, p+3, p+4, p+5, number(expOne), number(expOne))
		g.encoded(fcvtns(k, k))
		g.power(k, number(expBias))
		g.encoded(fmul(to, to, k))
		g.encoded(bicVector(to, to, less))
		g.encoded(fadd(sum, sum, to))
		g.do("FMOVQ", to.scalar(), at(scores, -16))
	})
	g.encoded(faddp(sum, sum, sum))
	g.encoded(faddp(sum, sum, sum))
	g.load("total", scores)
	g.do("FMOVS", sum.scalar(), at(scores, 0))
	g.do("RET")
}
