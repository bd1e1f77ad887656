package blas_test

import (
	"fmt"
	"testing"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/gorgonia/moe/blas"
)

// implementations are what benchmarks compare.
var implementations = []struct {
	name string
	gonumblas.Float32
}{{"moe", blas.New()}, {"gonum", gonum.Implementation{}}}

func BenchmarkSgemm(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 256} {
		for _, tB := range []gonumblas.Transpose{gonumblas.NoTrans, gonumblas.Trans} {
			for _, i := range implementations {
				b.Run(fmt.Sprintf("%d,%c,%s", n, tB, i.name), func(b *testing.B) {
					x, y, z := make([]float32, n*n), make([]float32, n*n), make([]float32, n*n)
					fill(x, y)
					b.ReportAllocs()
					for b.Loop() {
						i.Sgemm(gonumblas.NoTrans, tB, n, n, n, 1, x, n, y, n, 0, z, n)
					}
				})
			}
		}
	}
}

func BenchmarkSgemv(b *testing.B) {
	for _, n := range []int{1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 256} {
		for _, tA := range []gonumblas.Transpose{gonumblas.NoTrans, gonumblas.Trans} {
			for _, i := range implementations {
				b.Run(fmt.Sprintf("%d,%c,%s", n, tA, i.name), func(b *testing.B) {
					a, x, y := make([]float32, n*n), make([]float32, n), make([]float32, n)
					fill(a, x)
					b.ReportAllocs()
					for b.Loop() {
						i.Sgemv(tA, n, n, 1, a, n, x, 1, 0, y, 1)
					}
				})
			}
		}
	}
}

func fill(slices ...[]float32) {
	for _, s := range slices {
		for i := range s {
			s[i] = float32(i%7) - 3
		}
	}
}
