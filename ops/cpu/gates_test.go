package cpu

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var gateModes = []backend.GateMode{backend.SoftmaxTopK, backend.SoftmaxAll, backend.SoftmaxRenormalized}

// gatesOf are the gates of one token.
func gatesOf(t *testing.T, dt tensor.Dtype, logits []float64, ids []int32, mode backend.GateMode) []float64 {
	t.Helper()
	gates := hostTensor[float32](t, []int{1, len(ids)})
	err := (Go{}).Gates(gates, floatTensor(t, dt, []int{1, len(logits)}, logits...), hostTensor(t, []int{1, len(ids)}, ids...), mode)
	if err != nil {
		t.Fatal(err)
	}
	return floatsIn(t, gates)
}

func TestGatesSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name                   string
		logits                 []float64
		ids                    []int32
		topK, all, renormalize []float64
	}{
		{"equal", []float64{3, 3, 3, 3}, []int32{0, 3}, []float64{.5, .5}, []float64{.25, .25}, []float64{.5, .5}},
		{"slot not here", []float64{3, 3, 3, 3}, []int32{-1, 3}, []float64{0, 1}, []float64{0, .25}, []float64{0, 1}},
		{"no slot here", []float64{3, nan}, []int32{-1, -1}, []float64{0, 0}, []float64{0, 0}, []float64{0, 0}},
		{"same expert twice", []float64{7, 7}, []int32{1, 1}, []float64{.5, .5}, []float64{.5, .5}, []float64{.5, .5}},
		{"chosen NaN", []float64{nan, 0, 0}, []int32{1, 0, -1}, []float64{nan, nan, 0}, []float64{nan, nan, 0}, []float64{nan, nan, 0}},
		{"other NaN", []float64{0, 0, nan}, []int32{1, 0}, []float64{.5, .5}, []float64{nan, nan}, []float64{nan, nan}},
		{"other +Inf", []float64{0, 0, inf}, []int32{1, 0}, []float64{.5, .5}, []float64{nan, nan}, []float64{nan, nan}},
		{"chosen +Inf", []float64{0, 0, inf}, []int32{2}, []float64{nan}, []float64{nan}, []float64{nan}},
		{"chosen -Inf", []float64{0, -inf, 0}, []int32{1, 0}, []float64{0, 1}, []float64{0, .5}, []float64{0, 1}},
		{"only -Inf chosen", []float64{0, -inf}, []int32{1}, []float64{nan}, []float64{0}, []float64{nan}},
		{"all -Inf", []float64{-inf, -inf}, []int32{1, 0}, []float64{nan, nan}, []float64{nan, nan}, []float64{nan, nan}},
		{"huge", []float64{6e4, 6e4, -6e4}, []int32{0, 2}, []float64{1, 0}, []float64{.5, 0}, []float64{1, 0}},
		{"far below the best", []float64{6e4, -6e4, -6e4}, []int32{1, 2}, []float64{.5, .5}, []float64{0, 0}, []float64{.5, .5}},
	} {
		for i, want := range [][]float64{c.topK, c.all, c.renormalize} {
			for _, dt := range floatDtypes {
				if got := gatesOf(t, dt, c.logits, c.ids, gateModes[i]); !sameFloats(got, want) {
					t.Errorf("%s, %v, %v: got %v, want %v", c.name, gateModes[i], dt, got, want)
				}
			}
		}
	}
}

func TestGatesOverManyExperts(t *testing.T) {
	const experts = 2*tile + 7
	logits := make([]float64, experts)
	var sum float64
	for e := range logits {
		logits[e] = float64(e%13) / 4
		sum += math.Exp(logits[e])
	}
	for _, dt := range floatDtypes {
		got := gatesOf(t, dt, logits, []int32{experts - 1, 12}, backend.SoftmaxAll)
		for k, e := range []int{experts - 1, 12} {
			if want := math.Exp(logits[e]) / sum; math.Abs(got[k]/want-1) > 0x1p-23 {
				t.Errorf("%v: gate of expert %d is %v, want %v", dt, e, got[k], want)
			}
		}
	}
}

// TestGatesNaNStaysInItsToken also holds the other tokens to what they are without it.
func TestGatesNaNStaysInItsToken(t *testing.T) {
	logits := []float64{1, 2, 3, math.NaN(), 2, 3, 1, 2, 3}
	for _, mode := range gateModes {
		gates := hostTensor[float32](t, []int{3, 2})
		ids := hostTensor[int32](t, []int{3, 2}, 2, 0, 2, 0, 2, 0)
		if err := (Go{}).Gates(gates, floatTensor(t, tensor.Float32, []int{3, 3}, logits...), ids, mode); err != nil {
			t.Fatal(err)
		}
		want := gatesOf(t, tensor.Float32, logits[:3], []int32{2, 0}, mode)
		want = []float64{want[0], want[1], math.NaN(), math.NaN(), want[0], want[1]}
		if got := floatsIn(t, gates); !sameFloats(got, want) {
			t.Errorf("%v: got %v, want %v", mode, got, want)
		}
	}
}

func TestGatesErrors(t *testing.T) {
	logits := hostTensor[float32](t, []int{2, 4})
	ids := hostTensor[int32](t, []int{2, 3})
	gates := hostTensor[float32](t, []int{2, 3})
	for name, c := range map[string]struct {
		gates, logits, ids backend.Value
		mode               backend.GateMode
		want               error
	}{
		"mode":           {gates, logits, ids, 3, backend.ErrParameter},
		"negative mode":  {gates, logits, ids, -1, backend.ErrParameter},
		"gates' dtype":   {hostTensor[float64](t, []int{2, 3}), logits, ids, 0, backend.ErrDtype},
		"gates' shape":   {hostTensor[float32](t, []int{3, 2}), logits, ids, 0, backend.ErrShape},
		"ids' tokens":    {gates, logits, hostTensor[int32](t, []int{3, 3}), 0, backend.ErrShape},
		"logits' dtype":  {gates, hostTensor[int32](t, []int{2, 4}), ids, 0, backend.ErrDtype},
		"logits are nil": {gates, nil, ids, 0, backend.ErrValue},
	} {
		if err := (Go{}).Gates(c.gates, c.logits, c.ids, c.mode); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestGatesNamesFirstBadID(t *testing.T) {
	const tokens, slots = 5000, 2
	for _, id := range []int32{4, -2, math.MinInt32, math.MaxInt32} {
		ids := hostTensor[int32](t, []int{tokens, slots})
		table := elementsIn[int32](t, ids)
		table[9999], table[4321], table[8000] = id, id, id
		err := (Go{}).Gates(hostTensor[float32](t, []int{tokens, slots}), hostTensor[float32](t, []int{tokens, 4}), ids, backend.SoftmaxTopK)
		var bad *backend.ExpertIDError
		if !errors.As(err, &bad) || !errors.Is(err, backend.ErrExpertID) {
			t.Fatalf("id %d: got error %v, want an ExpertIDError", id, err)
		}
		if want := (backend.ExpertIDError{Token: 2160, Slot: 1, ID: int(id), Experts: 4}); *bad != want {
			t.Errorf("id %d: got %+v, want %+v", id, *bad, want)
		}
	}
}
