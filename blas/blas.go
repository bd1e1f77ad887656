// Package blas is a BLAS for Gorgonia whose products of float32 run on the vector kernels of package ops/cpu:
//
//	gorgonia.Use(blas.New())
//
// From then on every MatMul of two float32 matrices and every product with a vector, in graphs and of tensors, goes through it,
// forward and backward. [New] gives a gonum BLAS, so that tensor.Use and blas32.Use of gonum take it too. On an amd64 CPU
// without AVX2, on architectures other than amd64 and arm64, or with MOE_CPU=go, it is gonum's.
//
// A BLAS says what is wrong with its arguments by a panic: this one panics when and as gonum's does. Results differ from gonum's in
// four ways. Sums run in another order, and products are not rounded before they are added, so that the last bits are not the same;
// they are the same for the same operands whatever GOMAXPROCS is. A zero in a times a NaN or an infinity in b is NaN, which gonum's
// Sgemm drops in most cases. Where gonum multiplies each element of a vector, or of a in a product that is one row or one column, with
// alpha, here it is the sums, which may leave the range of float32 without it. And neither a nor b is read if alpha is 0, as in the
// reference BLAS.
//
// Products of up to 512 multiplications, and those of matrices of up to 2048 elements with a vector, are gonum's too: they are done
// before the vector kernels are set up.
package blas

import (
	"errors"
	"math"
	"math/bits"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cpu"
)

// Implementation is a BLAS: Sgemm and Sgemv of package ops/cpu, all else of gonum. It has no state and may be used from several
// goroutines at once.
type Implementation struct{ gonum.Implementation }

var (
	_ blas.Float32    = Implementation{}
	_ blas.Float64    = Implementation{}
	_ blas.Complex64  = Implementation{}
	_ blas.Complex128 = Implementation{}
)

// New gives the BLAS.
func New() Implementation { return Implementation{} }

// Sgemm computes c = alpha·op(a)·op(b) + beta·c, where op(a) (m,k) is a or, for blas.Trans and blas.ConjTrans, its transpose, and
// likewise op(b) (k,n). Rows of a, b and c (m,n) are lda, ldb and ldc elements apart; c must not overlap a or b. If beta is 0 c is
// overwritten, whatever it holds. It panics as gonum's Sgemm does; [cpu.Sgemm] says how it computes.
func (i Implementation) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) {
	if isTranspose(tA) && isTranspose(tB) && (alpha == 0 || !smallProduct(m, n, k)) {
		err := cpu.Sgemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		if err == nil {
			return
		}
		refuse(err, [2]int{max(m, k), lda}, [2]int{max(k, n), ldb}, [2]int{m, ldc})
	}
	i.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Sgemv computes y = alpha·op(a)·x + beta·y, where op(a) is a (m,n) or, for blas.Trans and blas.ConjTrans, its transpose. Rows of a
// are lda elements apart, elements of x and y incX and incY; if that is negative the first is the last in memory. y must not overlap
// a or x. If beta is 0 y is overwritten, whatever it holds; nothing happens if m or n is 0. It panics as gonum's Sgemv does;
// [cpu.Sgemv] says how it computes.
func (i Implementation) Sgemv(tA blas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int,
	beta float32, y []float32, incY int) {
	if isTranspose(tA) && !smallMatrix(m, n) {
		err := cpu.Sgemv(tA != blas.NoTrans, m, n, alpha, a, lda, x, incX, beta, y, incY)
		if err == nil {
			return
		}
		refuse(err, [2]int{m, lda}, [2]int{max(m, n), incX}, [2]int{max(m, n), incY})
	}
	if outer := outerSize(tA, m, n); incY == 1 && outer >= 0 && outer < len(y) {
		y = y[:outer] // gonum may clear what is behind it
	}
	i.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
}

// outerSize is the number of rows of op(a).
func outerSize(tA blas.Transpose, m, n int) int {
	if tA == blas.NoTrans {
		return m
	}
	return n
}

func isTranspose(t blas.Transpose) bool {
	return t == blas.NoTrans || t == blas.Trans || t == blas.ConjTrans
}

// refuse panics if arguments are wrong that would get past gonum's checks, for a product of a size and a distance is no int.
func refuse(err error, extents ...[2]int) {
	if errors.Is(err, backend.ErrUnsupported) {
		return
	}
	for _, e := range extents {
		high, low := bits.Mul64(uint64(max(e[0], 0)), magnitude(e[1]))
		if high > 0 || low > math.MaxInt {
			panic("blas: " + err.Error())
		}
	}
}

func magnitude(x int) uint64 {
	if x < 0 {
		return -uint64(x)
	}
	return uint64(x)
}

// smallProduct and smallMatrix tell what gonum computes before the vector kernels are set up.
func smallProduct(m, n, k int) bool {
	const most = 512
	return m <= most && n <= most && k <= most && m*n*k <= most
}

func smallMatrix(m, n int) bool {
	const most = 2048
	return m <= most && n <= most && m*n <= most
}
