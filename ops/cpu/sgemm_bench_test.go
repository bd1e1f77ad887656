package cpu

import (
	"fmt"
	"testing"
)

func BenchmarkSgemm(b *testing.B) {
	for _, size := range [][3]int{{64, 64, 64}, {256, 256, 256}, {1024, 1024, 1024}, {512, 4096, 1024}, {8, 4096, 4096}} {
		m, n, k := size[0], size[1], size[2]
		for trans := range 4 {
			transA, transB := trans&1 > 0, trans&2 > 0
			b.Run(fmt.Sprintf("m=%d,n=%d,k=%d,transA=%v,transB=%v", m, n, k, transA, transB), func(b *testing.B) {
				lda, ldb := k, n
				if transA {
					lda = m
				}
				if transB {
					ldb = k
				}
				x, w, c := ones(m*k), ones(k*n), ones(m*n)
				b.ReportAllocs()
				for b.Loop() {
					if err := Sgemm(transA, transB, m, n, k, 1, x, lda, w, ldb, 0, c, n); err != nil {
						b.Skip(err)
					}
				}
				b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}

func BenchmarkSgemv(b *testing.B) {
	const m, n = 4096, 14336
	a, long, short := ones(m*n), ones(n), ones(m)
	for _, trans := range []bool{false, true} {
		x, y := long, short
		if trans {
			x, y = short, long
		}
		b.Run(fmt.Sprintf("m=%d,n=%d,transA=%v", m, n, trans), func(b *testing.B) {
			b.SetBytes(4 * m * n)
			b.ReportAllocs()
			for b.Loop() {
				if err := Sgemv(trans, m, n, 1, a, n, x, 1, 0, y, 1); err != nil {
					b.Skip(err)
				}
			}
		})
	}
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}
