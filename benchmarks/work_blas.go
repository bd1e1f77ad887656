package main

import (
	"slices"
	"strings"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/gorgonia/moe/blas"
	"github.com/gorgonia/moe/ops/backend"
)

// blasWorks are the products of package blas and of its peer: of T tokens with a matrix (H,F), of a matrix (H,F) with a vector.
var blasWorks = slices.Concat(
	sgemmWorks("sgemm", "package blas", "blas", blas.New()),
	sgemvWorks("sgemv", "package blas", "blas", blas.New()),
	sgemmWorks("peer-gonum-sgemm", "gonum", "gonum", gonum.Implementation{}),
	sgemvWorks("peer-gonum-sgemv", "gonum", "gonum", gonum.Implementation{}),
)

var layouts = []struct {
	letter string
	op     gonumblas.Transpose
}{{"n", gonumblas.NoTrans}, {"t", gonumblas.Trans}}

// sgemmWorks are a work for each way in which the operands of Sgemm may lie.
func sgemmWorks(name, of, software string, with gonumblas.Float32) (list []work) {
	for _, a := range layouts {
		for _, b := range layouts {
			letters := a.letter + b.letter
			list = append(list, work{
				name: name + "-" + letters, what: "Sgemm of " + of + ", " + strings.ToUpper(letters) + ": (T,H) times (H,F), each as it is (N) or stored transposed (T)",
				peer: software, activations: []*dtype{f32}, host: true,
				flops: "2·T·H·F",
				bytes: "4·(T·H + H·F + T·F)",
				setup: func(p *problem) func() error {
					m, n, k := p.tokens, p.shape.F, p.shape.H
					x, w, c := p.floats(m*k), p.floats(k*n), make([]float32, m*n)
					lda, ldb := k, n
					if a.op == gonumblas.Trans {
						lda = m
					}
					if b.op == gonumblas.Trans {
						ldb = k
					}
					return func() error {
						with.Sgemm(a.op, b.op, m, n, k, 1, x, lda, w, ldb, 0, c, n)
						return nil
					}
				},
			})
		}
	}
	return list
}

// sgemvWorks are a work for a matrix and one for its transpose.
func sgemvWorks(name, of, software string, with gonumblas.Float32) (list []work) {
	for _, a := range layouts {
		list = append(list, work{
			name: name + "-" + a.letter, what: "Sgemv of " + of + ", " + strings.ToUpper(a.letter) + ": a matrix (H,F) times a vector, as it is (N) or its transpose (T)",
			peer: software, activations: []*dtype{f32}, host: true, leavesCaches: true,
			flops: "2·H·F",
			bytes: "4·(H·F + H + F)",
			setup: func(p *problem) func() error {
				m, n := p.shape.H, p.shape.F
				matrix, x, y := p.floats(m*n), p.floats(max(m, n)), make([]float32, max(m, n))
				return func() error {
					with.Sgemv(a.op, m, n, 1, matrix, n, x, 1, 0, y, 1)
					return nil
				}
			},
		})
	}
	return list
}

// floats are n random numbers in ±1.
func (p *problem) floats(n int) []float32 {
	v, err := newRandom(backend.Host, f32, 1, n)
	if err != nil {
		p.fail(err)
		return nil
	}
	x, err := backend.Slice[float32](v)
	if err != nil {
		p.fail(err)
	}
	return x
}
