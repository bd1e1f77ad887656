package cpu

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestSincosByFormula has angles that positions and frequencies give, and those next to multiples of π/2.
func TestSincosByFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 62))
	halfPi := new(big.Float).SetPrec(200)
	halfPi.SetString("1.57079632679489661923132169163975144209858469968755291048747229615390820314310449931401741267105853399107404326")
	for range 200_000 {
		x := float64(float32(math.Ldexp(2*rng.Float64()-1, rng.IntN(50)-18)))
		if rng.IntN(2) == 0 {
			x = float64(float32(math.Round(x) * math.Pi / 2))
		}
		// x − k·π/2 to 200 bits, by which the standard library's are then exact enough.
		k := math.RoundToEven(x * 2 / math.Pi)
		r, _ := new(big.Float).Sub(big.NewFloat(x).SetPrec(200), new(big.Float).Mul(halfPi, big.NewFloat(k).SetPrec(200))).Float64()
		wantSin, wantCos := math.Sincos(r)
		switch int64(k) & 3 {
		case 1:
			wantSin, wantCos = wantCos, -wantSin
		case 2:
			wantSin, wantCos = -wantSin, -wantCos
		case 3:
			wantSin, wantCos = -wantCos, wantSin
		}
		sin, cos := narrowSincos(x)
		if math.Abs(sin-wantSin) > 0x1p-52 || math.Abs(cos-wantCos) > 0x1p-52 {
			t.Fatalf("of %v: %v and %v, want %v and %v", x, sin, cos, wantSin, wantCos)
		}
	}
	if sin, cos := narrowSincos(0); sin != 0 || cos != 1 {
		t.Errorf("of 0: %v and %v", sin, cos)
	}
}
