package backend

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Backend is a set of stages for one kind of device: a value that implements some of the stage interfaces.
type Backend interface {
	// Name tells the backend and variant: "cpu/go", "cuda/sm90".
	Name() string
}

type registration struct {
	backend  Backend
	priority int
}

var registry struct {
	sync.RWMutex
	kinds map[string][]registration // by kind of device, best first; a slice is never changed once it is stored
}

// Register adds b for devices of a kind; of several that have a stage the one of highest priority is asked first, of equal
// ones the one registered first. It is called from init functions as a rule and safe for concurrent use.
func Register(kind string, priority int, b Backend) {
	registry.Lock()
	defer registry.Unlock()
	if registry.kinds == nil {
		registry.kinds = make(map[string][]registration)
	}
	list := append(slices.Clone(registry.kinds[kind]), registration{b, priority})
	slices.SortStableFunc(list, func(a, b registration) int { return b.priority - a.priority })
	registry.kinds[kind] = list
}

// Backends lists the backends for a kind of device, best first.
func Backends(kind string) []Backend {
	registry.RLock()
	list := registry.kinds[kind]
	registry.RUnlock()
	out := make([]Backend, len(list))
	for i, r := range list {
		out[i] = r.backend
	}
	return out
}

// Dispatch calls the stage S of the best backend for d that has it and does not decline with ErrUnsupported. The stage's
// name is for the error that says nobody took it.
func Dispatch[S any](d Device, stage string, call func(S) error) error {
	registry.RLock()
	list := registry.kinds[d.Kind()]
	registry.RUnlock()
	if len(list) == 0 {
		return fmt.Errorf("%s: no backend is registered for device %v (import github.com/gorgonia/moe/ops/%s): %w",
			stage, d, d.Kind(), ErrUnsupported)
	}
	var declined error
	for _, r := range list {
		s, ok := r.backend.(S)
		if !ok {
			continue
		}
		err := call(s)
		if err == nil || !errors.Is(err, ErrUnsupported) {
			return err
		}
		declined = errors.Join(declined, fmt.Errorf("%s: %w", r.backend.Name(), err))
	}
	if declined != nil {
		return fmt.Errorf("%s on device %v: %w", stage, d, declined)
	}
	return fmt.Errorf("%s: no backend for device %v has this stage: %w", stage, d, ErrUnsupported)
}
