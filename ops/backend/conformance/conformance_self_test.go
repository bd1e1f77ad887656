package conformance

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// mutant is a backend that breaks one promise.
type mutant struct {
	name    string
	stage   string
	backend backend.Backend
}

// TestMutantsFail wants the suite to find every mutant. TestReferencePasses shows that it finds nothing wrong with what the
// mutants are made of.
func TestMutantsFail(t *testing.T) {
	seed, err := Options{}.seed()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("MOE_SEED=%d repeats this run", seed)
	for _, m := range slices.Concat(routingMutants, expertMutants, numericMutants, decoderMutants, packMutants, blockMutants(), conductMutants) {
		t.Run(m.stage+"/"+m.name, func(t *testing.T) {
			found, err := firstFailure(m, seed)
			if err == nil {
				t.Fatalf("no check of %s found it", m.stage)
			}
			message, _, _ := strings.Cut(err.Error(), "\n")
			if panicked := strings.Contains(message, "panic"); panicked != (m.name == "a panic") {
				t.Errorf("found for another reason by %s: %v", found, err)
			}
			t.Logf("found by %s: %s", found, message)
		})
	}
}

// firstFailure runs the checks of the mutant's stage until one fails, and gives its name and error.
func firstFailure(m mutant, seed uint64) (string, error) {
	for _, s := range stages {
		if s.name != m.stage {
			continue
		}
		checks, ok := s.checks(m.backend)
		if !ok {
			return "", nil
		}
		for _, c := range checks {
			if _, err := c.execute(backend.Host, seed); err != nil && !errors.Is(err, errDeclined) {
				return c.name, err
			}
		}
	}
	return "", nil
}

func TestCoverage(t *testing.T) {
	for _, c := range []struct {
		coverage coverage
		ok       bool
	}{
		{coverage{stage: "Add", cases: 3}, true},
		{coverage{stage: "Add", cases: 3, declined: 2, idle: 2}, true},
		{coverage{stage: "Add", cases: 3, declined: 2, idle: 3}, false},
		{coverage{stage: "Add", lacking: true}, true},
		{coverage{stage: "Add", lacking: true, required: true}, false},
		{coverage{stage: "Add", cases: 3, declined: 1, required: true}, false},
		{coverage{stage: "Add", cases: 3, required: true}, true},
	} {
		if err := c.coverage.err(); (err == nil) != c.ok {
			t.Errorf("%+v: error %v, want ok = %v", c.coverage, err, c.ok)
		}
	}
}

func TestOptions(t *testing.T) {
	if err := (Options{Stages: []string{"TopK"}, Require: []string{"Softmax"}}).validate(); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("an unknown stage: error %v, want ErrParameter", err)
	}
	t.Setenv("MOE_SEED", "17")
	if seed, err := (Options{}).seed(); seed != 17 || err != nil {
		t.Errorf("MOE_SEED=17 gives seed %d and error %v", seed, err)
	}
	if seed, err := (Options{Seed: 4}).seed(); seed != 4 || err != nil {
		t.Errorf("Seed 4 gives seed %d and error %v", seed, err)
	}
	t.Setenv("MOE_SEED", "-1")
	if _, err := (Options{}).seed(); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("MOE_SEED=-1: error %v, want ErrParameter", err)
	}
}

// TestSeedDecidesOperands draws twice by one seed and once by another.
func TestSeedDecidesOperands(t *testing.T) {
	draw := func(name string, seed uint64) []float64 {
		var f []float64
		_, err := check{name, func(e *env) error {
			f = e.floats(tensor.Float32, normal, 10).f
			return nil
		}}.execute(backend.Host, seed)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if !slices.Equal(draw("a", 1), draw("a", 1)) {
		t.Error("one seed gave two different operands")
	}
	if slices.Equal(draw("a", 1), draw("a", 2)) || slices.Equal(draw("a", 1), draw("b", 1)) {
		t.Error("different seeds or names gave the same operand")
	}
}

// TestCheckPlan breaks each promise of a plan in turn.
func TestCheckPlan(t *testing.T) {
	e := env{}
	// Expert 0 has slots 1 and 4, expert 2 slots 0 and 2, slots 3 and 5 are not here; segments of 4 rows, R = 10.
	ids := e.ints([]int32{2, 0, 2, -1, 0, -1}, 3, 2)
	fresh := func() (*backend.Plan, planTables) {
		p := must(backend.NewPlan(backend.Host, 3, 2, 3, 4, 10))
		fillPlan(p, must(backend.Slice[int32](ids)))
		return p, must(tablesOf(p))
	}
	p, _ := fresh()
	if err := CheckPlan(p, ids, nil); err != nil {
		t.Fatalf("a right plan: %v", err)
	}
	for name, tamper := range map[string]func(p *backend.Plan, t planTables){
		"first offset":              func(_ *backend.Plan, t planTables) { t.offsets[0] = 4 },
		"offset of an empty expert": func(_ *backend.Plan, t planTables) { t.offsets[1], t.offsets[2] = 4, 8 },
		"last offset":               func(_ *backend.Plan, t planTables) { t.offsets[3] = 6 },
		"R too small":               func(p *backend.Plan, _ planTables) { p.Rows = 7 },
		"count":                     func(_ *backend.Plan, t planTables) { t.counts[0] = 4 },
		"order of slots": func(_ *backend.Plan, t planTables) {
			t.slotRow[1], t.slotRow[4], t.rowSlot[0], t.rowSlot[1] = 1, 0, 4, 1
		},
		"inverse":                 func(_ *backend.Plan, t planTables) { t.rowSlot[0] = 4 },
		"absent slot":             func(_ *backend.Plan, t planTables) { t.slotRow[3] = 0 },
		"expert of a row":         func(_ *backend.Plan, t planTables) { t.rowExpert[4] = 1 },
		"slot of a padding row":   func(_ *backend.Plan, t planTables) { t.rowSlot[2] = 0 },
		"expert of a padding row": func(_ *backend.Plan, t planTables) { t.rowExpert[9] = 0 },
		"shape of a table":        func(p *backend.Plan, _ planTables) { p.Counts = template(tensor.Int32, 4) },
		"dtype of a table":        func(p *backend.Plan, _ planTables) { p.RowSlot = template(tensor.Int64, 10) },
	} {
		p, tables := fresh()
		tamper(p, tables)
		if err := CheckPlan(p, ids, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := CheckPlan(p, e.ints([]int32{2, 0, 2, -1, 0, 3}, 3, 2), nil); !errors.Is(err, backend.ErrExpertID) {
		t.Errorf("a bad id: error %v, want ErrExpertID", err)
	}
	if err := CheckPlan(p, ids, e.ints([]int32{0, 1, 3}, 3)); !errors.Is(err, backend.ErrExpertID) {
		t.Errorf("a bad map: error %v, want ErrExpertID", err)
	}
	if err := CheckPlan(p, e.ints(nil, 3, 3), nil); !errors.Is(err, backend.ErrShape) {
		t.Errorf("ids of another shape: error %v, want ErrShape", err)
	}
}

func TestAdmits(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	half, single := formatOf(backend.Float16), formatOf(tensor.Float32)
	for _, c := range []struct {
		name string
		f    format
		got  float64
		want approx
		ok   bool
	}{
		{"equal", single, 3, exactly(3), true},
		{"half a unit in the last place", single, 1 + 0x1p-24, exactly(1), true},
		{"a unit in the last place", single, 1 + 0x1p-23, exactly(1), false},
		{"within the tolerance", single, 1.25, approx{1, 0.25}, true},
		{"NaN for a number", single, nan, approx{1, inf}, false},
		{"a number for NaN", single, 1, exactly(nan), false},
		{"NaN for NaN", single, nan, exactly(nan), true},
		{"infinity for infinity", single, inf, exactly(inf), true},
		{"the other infinity", single, -inf, exactly(inf), false},
		{"infinity for a number", single, inf, exactly(1e30), false},
		{"overflow", half, inf, exactly(65520), true},
		{"overflow of the wrong sign", half, -inf, exactly(65520), false},
		{"no overflow", half, 65504, exactly(65519), true},
		{"the greatest number where an overflow belongs", half, 65504, exactly(70000), false},
		{"zero for a subnormal of Float16", half, 0, exactly(0x1p-20), false},
		{"zero for a subnormal of float32", single, 0, exactly(0x1p-130), true},
	} {
		if ok := c.f.admits(c.got, c.want); ok != c.ok {
			t.Errorf("%s: admits(%v, %+v) = %v, want %v", c.name, c.got, c.want, ok, c.ok)
		}
	}
}
