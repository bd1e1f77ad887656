package conformance

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// Options chooses what a run covers. The zero value is every stage, none required, a new seed each time.
type Options struct {
	// Stages are the names of the stages to run; all if it is empty.
	Stages []string
	// Require are the names of the stages that each backend must have and that must decline no case. Stages lists them all.
	Require []string
	// Seed makes the operands. 0 is the value of MOE_SEED, or of the clock if that is not set.
	Seed uint64
}

// Run runs every case of every stage that each of the backends has, on dev. A stage that a backend lacks is logged and does
// not run. See Options for more.
func Run(t *testing.T, dev backend.Device, backends ...backend.Backend) {
	t.Helper()
	Options{}.Run(t, dev, backends...)
}

// Run is the function Run with options.
func (o Options) Run(t *testing.T, dev backend.Device, backends ...backend.Backend) {
	t.Helper()
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	seed, err := o.seed()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("device %v, seed %d (MOE_SEED=%d repeats this run)", dev, seed, seed)
	t.Run("Device", func(t *testing.T) {
		runChecks(t, deviceChecks(dev), dev, seed)
	})
	for _, b := range backends {
		t.Run(b.Name(), func(t *testing.T) { o.runBackend(t, dev, b, seed) })
	}
}

// Stages lists the names of all stages in the order of the data's way.
func Stages() []string {
	names := make([]string, len(stages))
	for i, s := range stages {
		names[i] = s.name
	}
	return names
}

func (o Options) validate() error {
	known := Stages()
	for _, name := range slices.Concat(o.Stages, o.Require) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("conformance: stage %q is unknown, want one of %v: %w", name, known, backend.ErrParameter)
		}
	}
	return nil
}

func (o Options) seed() (uint64, error) {
	if o.Seed != 0 {
		return o.Seed, nil
	}
	text := os.Getenv("MOE_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano()), nil
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("conformance: MOE_SEED = %q, want an unsigned integer: %w", text, backend.ErrParameter)
	}
	return seed, nil
}

func (o Options) runBackend(t *testing.T, dev backend.Device, b backend.Backend, seed uint64) {
	for _, s := range stages {
		if len(o.Stages) > 0 && !slices.Contains(o.Stages, s.name) {
			continue
		}
		checks, ok := s.checks(b)
		c := coverage{stage: s.name, required: slices.Contains(o.Require, s.name), lacking: !ok, cases: len(checks)}
		if ok {
			t.Run(s.name, func(t *testing.T) { c.declined, c.idle = runChecks(t, checks, dev, seed) })
		}
		if err := c.err(); err != nil {
			t.Error(err)
		} else {
			t.Log(c)
		}
	}
}

// coverage tells how much of a stage has run.
type coverage struct {
	stage             string
	required, lacking bool
	cases, declined   int
	idle              int // cases that ran and in which the backend took no operands, declined or rightly refused
}

func (c coverage) String() string {
	switch {
	case c.lacking:
		return c.stage + ": not run, the backend lacks this stage"
	case c.declined > 0:
		return fmt.Sprintf("%s: %d cases, %d of them declined", c.stage, c.cases, c.declined)
	}
	return fmt.Sprintf("%s: %d cases", c.stage, c.cases)
}

// err is what is wrong with the coverage, apart from what the cases found.
func (c coverage) err() error {
	switch {
	case c.required && (c.lacking || c.declined > 0):
		return fmt.Errorf("%v, and it is required", c)
	case c.cases > 0 && c.idle == c.cases:
		return fmt.Errorf("%v: a stage that a backend has must take some operands", c)
	}
	return nil
}

// runChecks runs each check as a subtest and tells in how many the backend declined, and in how many it took no operands.
func runChecks(t *testing.T, checks []check, dev backend.Device, seed uint64) (declined, idle int) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			took, err := c.execute(dev, seed)
			if !took {
				idle++
			}
			switch {
			case errors.Is(err, errDeclined):
				declined++
				t.Skipf("declined: %v", err)
			case err != nil:
				t.Error(err)
			}
		})
	}
	return declined, idle
}

// stage is one interface of package backend with its checks.
type stage struct {
	name   string
	checks func(backend.Backend) ([]check, bool) // false if the backend lacks the stage
}

func stageOf[S any](name string, checks func(S) []check) stage {
	return stage{name, func(b backend.Backend) ([]check, bool) {
		s, ok := b.(S)
		if !ok {
			return nil, false
		}
		return checks(s), true
	}}
}

// stages are all stages in the order of the data's way.
var stages = []stage{
	stageOf("TopK", topKChecks),
	stageOf("Gates", gatesChecks),
	stageOf("Plan", planChecks),
	stageOf("Permute", permuteChecks),
	stageOf("GroupedMatMul", groupedMatMulChecks),
	stageOf("SwiGLU", swiGLUChecks),
	stageOf("Unpermute", unpermuteChecks),
	stageOf("Experts", expertsChecks),
	stageOf("Quantize", quantizeChecks),
	stageOf("QuantizeBlocks", quantizeBlocksChecks),
	stageOf("RMSNorm", rmsNormChecks),
	stageOf("Rotary", rotaryChecks),
	stageOf("CacheAppend", cacheAppendChecks),
	stageOf("Attention", attentionChecks),
	stageOf("Linear", linearChecks),
	stageOf("PackWeight", packWeightChecks),
	stageOf("Embedding", embeddingChecks),
	stageOf("Add", addChecks),
}

// check is one case of a stage. It returns nil if the backend did as promised, an error that is errDeclined if the backend
// does not take the operands, and otherwise what is wrong.
type check struct {
	name string
	run  func(e *env) error
}

// execute runs the check on operands that depend on seed and name alone, and tells whether the backend took any. A panic is a
// failure like another.
func (c check) execute(dev backend.Device, seed uint64) (took bool, err error) {
	h := fnv.New64a()
	h.Write([]byte(c.name))
	e := &env{dev: dev, rng: rand.New(rand.NewPCG(seed, h.Sum64()))}
	defer func() {
		took = e.took
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	err = c.run(e)
	if found := errors.Join(e.found...); found != nil {
		if errors.Is(err, errDeclined) {
			return e.took, found
		}
		return e.took, errors.Join(err, found)
	}
	return e.took, err
}
