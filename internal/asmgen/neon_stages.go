package main

import "fmt"

// neonStep is the elements that a kernel of rows takes at a time: two vectors, which as bfloat16 fill one.
const neonStep = 8

// stages writes the kernels of the stages beside the products.
//
// Instructions of the innermost loops, without those on integers and prefetches, for eight elements of float32 and of bfloat16. This is a
// count, not a measurement: no hardware was at hand.
//
//	weighted   5,   7     a term: 1 load, or 1 and 2 that widen, 2 products and 2 sums
//	add        5,  24     of which 15 round
//	squares    9,  11     in float64
//	norm      23,  24     of which 12 convert to float64 and back, or 15 round
//	turn      40,  74     eight elements of either half of a head: 16 convert; 30 round
//	scores    40,  48     4 heads and 4 positions: 32 multiply-adds
//	mix      9.5, 11.5    4 heads and a position: 8 multiply-adds
//	largest    9,   5
//	codes   29.5, 31.5    of which 2 are divisions
//	softmax   62
//	angles   248          in float64, no multiply-add among them
func (g *neon) stages() {
	words(g.Context, "expNumbersNEON", expBits())
	words(g.Context, "angleNumbersNEON", angleBits())
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

// pastDoc says what becomes of the parameter past. The non-temporal stores of arm64 are a hint, and its processors recognise long
// runs of stores, which they then write past the caches without one.
const pastDoc = "past is of no account."

// neonRows is how rows of elements go between memory and registers, eight elements in two vectors.
type neonRows struct {
	element
	// For bfloat16: five registers, for constants and for rounding. The mask of upper halves is needed to load in split order only.
	one, below, quiet, t0, t1, upper vector
}

// newRows makes the constants for elements: the registers from first on are theirs, six of them.
func (g *neon) newRows(e element, first vector) neonRows {
	r := neonRows{e, first, first + 1, first + 2, first + 3, first + 4, first + 5}
	if e.narrow() {
		g.roundings(r)
		g.upperMask(r.upper)
	}
	return r
}

// loadPair loads eight elements as float32: side by side or, for bfloat16, in split order, the even ones in a and the odd ones in b.
// The pointer moves behind them.
func (g *neon) loadPair(r neonRows, split bool, from general, a, b vector) {
	switch {
	case !r.narrow():
		g.do("FLDPQ.P", at(from, 32), pair(a, b))
	case split:
		g.do("FMOVQ.P", at(from, 16), b.scalar())
		g.halves(b, r.upper, a, b)
	default:
		g.do("FMOVQ.P", at(from, 16), a.scalar())
		g.encoded(shll(b, a, true))
		g.encoded(shll(a, a, false))
	}
}

// halves gives the even elements of a vector of bfloat16 and the odd ones, which may be in its place.
func (g *neon) halves(from, upper, even, odd vector) {
	g.do("VSHL", 16, from.of("S4"), even.of("S4"))
	g.do("VAND", upper.of("B16"), from.of("B16"), odd.of("B16"))
}

// storePair stores eight float32, ordered as loadPair has them, as elements. It changes the vectors, and the pointer moves behind them.
func (g *neon) storePair(r neonRows, split bool, a, b vector, to general) {
	if !r.narrow() {
		g.do("FSTPQ.P", pair(a, b), at(to, 32))
		return
	}
	g.round(r, a)
	g.round(r, b)
	take := "VUZP2"
	if split {
		take = "VTRN2"
	}
	g.do(take, b.of("H8"), a.of("H8"), a.of("H8"))
	g.do("FMOVQ.P", a.scalar(), at(to, 16))
}

// scaled is the operand for n elements of a size.
func (e element) scaled(n general) string {
	if e.narrow() {
		return fmt.Sprintf("%v<<1", n)
	}
	return fmt.Sprintf("%v<<2", n)
}

// stream writes the copy of whole cache lines.
func (g *neon) stream() {
	const to, from, n general = 0, 1, 2
	g.function("stream", "func(to, from *byte, n int)",
		"streamNEON copies n bytes, a multiple of 64, to an address that is one, with a hint to do so past the caches. A fence must follow.")
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.loop("loop", n, 64, func() {
		g.do("FLDPQ.P", at(from, 32), pair(0, 1))
		g.do("FLDPQ.P", at(from, 32), pair(2, 3))
		g.encoded(storeNonTemporal(0, 1, to, 0))
		g.encoded(storeNonTemporal(2, 3, to, 32))
		g.do("ADD", 64, to, to)
	})
	g.do("RET")
}

// fence writes the barrier behind stores past the caches.
func (g *neon) fence() {
	const storesOfAllCPUs = 0xa
	g.function("fence", "func()", "fenceNEON makes stores visible before all stores that follow.")
	g.do("DMB", storesOfAllCPUs)
	g.do("RET")
}

// weighted writes the weighted sum of rows.
func (g *neon) weighted(e element) {
	const (
		to, from, n, terms, at0, weights, row, next, ahead general = 0, 1, 2, 3, 4, 5, 6, 7, 8
		sums, x, weight, rest                              vector  = 0, 8, 10, 16
	)
	name, prefetched := "weighted"+e.name, ""
	if e.narrow() {
		prefetched = " The rows that are next[i] bytes behind from are prefetched."
	}
	g.function(name, fmt.Sprintf("func(to, from %s, at, next *int, weights *float32, terms, n, past int)", e.goType),
		fmt.Sprintf("%sNEON computes to[j] = Σ weights[i]·(the element j of the row that is at[i] bytes behind from) for j below n, a multiple of 8.", name),
		"Terms are added one after the other to 0, each product and each sum rounded to float32. "+pastDoc+prefetched)
	r := g.newRows(e, rest)
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	for _, vectors := range []int{8, 2} {
		label := fmt.Sprintf("columns%d", vectors)
		g.loop(label, n, 4*vectors, func() {
			for j := range vectors {
				g.zero(sums + vector(j))
			}
			g.load("at", at0)
			if e.narrow() {
				g.load("next", next)
			}
			g.load("weights", weights)
			g.load("terms", terms)
			g.loop(label+"_terms", terms, 1, func() {
				g.do("MOVD.P", at(at0, 8), row)
				g.do("FMOVS.P", at(weights, 4), weight.scalar())
				if e.narrow() {
					g.do("MOVD.P", at(next, 8), ahead)
					g.encoded(prefetchIndexed(from, ahead))
				}
				g.do("ADD", from, row, row)
				for j := vector(0); j < vector(vectors); j += 2 {
					g.loadPair(r, true, row, x, x+1)
					for i := range vector(2) {
						g.encoded(fmulLane(x+i, x+i, weight, 0))
						g.encoded(fadd(sums+j+i, sums+j+i, x+i))
					}
				}
			})
			for j := vector(0); j < vector(vectors); j += 2 {
				g.storePair(r, true, sums+j, sums+j+1, to)
			}
			g.do("ADD", 4*vectors*e.size, from, from)
		})
	}
	g.do("RET")
}

// add writes the sum of two rows.
func (g *neon) add(e element) {
	const (
		to, a, b, n general = 0, 1, 2, 3
		x, y, rest  vector  = 0, 2, 16
	)
	name := "add" + e.name
	g.function(name, fmt.Sprintf("func(to, a, b %s, n, past int)", e.goType),
		fmt.Sprintf("%sNEON computes to[j] = a[j] + b[j] for j below n, a multiple of 8; to may be a or b. %s", name, pastDoc))
	r := g.newRows(e, rest)
	g.load("to", to)
	g.load("a", a)
	g.load("b", b)
	g.load("n", n)
	g.loop("loop", n, neonStep, func() {
		g.loadPair(r, true, a, x, x+1)
		g.loadPair(r, true, b, y, y+1)
		g.encoded(fadd(x, x, y))
		g.encoded(fadd(x+1, x+1, y+1))
		g.storePair(r, true, x, x+1, to)
	})
	g.do("RET")
}
