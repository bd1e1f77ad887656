package cpu

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/gorgonia/moe/ops/backend"
)

// levelVariable is the environment variable that forces a variant. Its values are the levels of the architecture, each of which
// needs more of the CPU than the one before.
const levelVariable = "MOE_CPU"

// Variants lists the backends that this machine can run, best first, whatever MOE_CPU says.
func Variants() []backend.Backend {
	list := []backend.Backend{Go{}}
	for _, v := range machineVariants() {
		list = append(list, v)
	}
	slices.SortStableFunc(list, func(a, b backend.Backend) int { return priority(b) - priority(a) })
	return list
}

func priority(b backend.Backend) int {
	if s, ok := b.(simd); ok {
		return s.priority
	}
	return 0
}

func init() {
	if err := register(os.Getenv(levelVariable)); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// register registers the variants of this machine: all if forced is empty; else those that need no more of the CPU than the one
// it names, and that one before all others. Of a name that is none it says so and takes it for empty.
func register(forced string) error {
	limit := slices.Index(levels, forced)
	for _, b := range Variants() {
		level := slices.Index(levels, strings.TrimPrefix(b.Name(), "cpu/"))
		switch {
		case limit < 0:
			backend.Register("cpu", priority(b), b)
		case level <= limit:
			backend.Register("cpu", 10*level, b)
		}
	}
	if limit < 0 && forced != "" {
		return fmt.Errorf("%s=%q is ignored, want one of %s: %w", levelVariable, forced, strings.Join(levels, ", "), backend.ErrParameter)
	}
	return nil
}
