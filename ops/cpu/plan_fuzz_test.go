package cpu

import (
	"errors"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// FuzzPlan makes ids, expert map and sizes of the fuzzer's bytes and compares with what backend.Planner promises: the
// error of the first slot that has one, an ErrShape where the rows do not fit, or a plan with all its properties.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0, 1}, []byte(nil), false, uint8(2), uint8(4), uint8(8), int8(0))
	f.Add([]byte{0, 255, 2, 2}, []byte{1, 255, 0}, true, uint8(2), uint8(2), uint8(3), int8(5))
	f.Add([]byte{0, 9, 254}, []byte{1, 7}, true, uint8(3), uint8(2), uint8(1), int8(-1))
	f.Add([]byte{}, []byte{}, true, uint8(0), uint8(0), uint8(128), int8(1))
	f.Fuzz(func(t *testing.T, idBytes, mapBytes []byte, mapped bool, slots, experts, align uint8, spare int8) {
		k, a := int(slots), int(align)
		if a == 0 {
			a = 256
		}
		tokens := 3 // of no slots each
		if k > 0 {
			tokens = len(idBytes) / k
		}
		ids := signed(idBytes[:tokens*k])
		var expertMap []int32
		var mapValue backend.Value
		if mapped {
			expertMap = signed(mapBytes)
			mapValue = hostTensor(t, []int{len(expertMap)}, expertMap...)
		}

		local, fault := routeSlots(ids, expertMap, mapped, k, int(experts))
		counts := make([]int32, experts)
		for _, e := range local {
			if e >= 0 {
				counts[e]++
			}
		}
		need, err := backend.RowsForCounts(counts, a)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := backend.RowBound(tokens, k, int(experts), a)
		if err != nil {
			t.Fatal(err)
		}
		if need > bound {
			t.Fatalf("the routing needs %d rows, RowBound is %d", need, bound)
		}

		rows := max(need+int(spare), 0)
		p := newTestPlan(t, tokens, k, int(experts), a, rows)
		err = Go{}.Plan(p, hostTensor(t, []int{tokens, k}, ids...), mapValue)
		switch {
		case fault != nil:
			var got *backend.ExpertIDError
			if !errors.As(err, &got) || *got != *fault {
				t.Fatalf("got error %v, want %v", err, fault)
			}
		case rows < need:
			if !errors.Is(err, backend.ErrShape) {
				t.Fatalf("%d rows for %d: got error %v, want %v", rows, need, err, backend.ErrShape)
			}
		case err != nil:
			t.Fatal(err)
		default:
			if err := checkPlanOf(p, local); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// signed sees each byte as a number from −128 to 127.
func signed(bytes []byte) []int32 {
	out := make([]int32, len(bytes))
	for i, b := range bytes {
		out[i] = int32(int8(b))
	}
	return out
}

// routeSlots is the local expert of each slot up to the first that has none.
func routeSlots(ids, expertMap []int32, mapped bool, slots, experts int) ([]int32, *backend.ExpertIDError) {
	var local []int32
	for s, id := range ids {
		limit := experts
		if mapped {
			limit = len(expertMap)
		}
		if id < -1 || int(id) >= limit {
			return local, &backend.ExpertIDError{Token: s / slots, Slot: s % slots, ID: int(id), Experts: limit}
		}
		if mapped && id >= 0 {
			if id = expertMap[id]; id < -1 || int(id) >= experts {
				return local, &backend.ExpertIDError{Token: s / slots, Slot: s % slots, ID: int(id), Experts: experts, Mapped: true}
			}
		}
		local = append(local, id)
	}
	return local, nil
}
