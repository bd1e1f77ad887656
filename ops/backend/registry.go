package backend

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
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

// registry is written under its lock and read without: what it points to is never changed.
var registry struct {
	sync.Mutex
	kinds atomic.Pointer[map[string][]registration] // by kind of device, best first
}

// registered lists the backends for a kind of device, best first.
func registered(kind string) []registration {
	if kinds := registry.kinds.Load(); kinds != nil {
		return (*kinds)[kind]
	}
	return nil
}

// Register adds b for devices of a kind; of several that have a stage the one of highest priority is asked first, of equal
// ones the one registered first. It is called from init functions as a rule and safe for concurrent use.
func Register(kind string, priority int, b Backend) {
	registry.Lock()
	defer registry.Unlock()
	list := append(slices.Clone(registered(kind)), registration{b, priority})
	slices.SortStableFunc(list, func(a, b registration) int { return cmp.Compare(b.priority, a.priority) })
	kinds := map[string][]registration{kind: list}
	if old := registry.kinds.Load(); old != nil {
		kinds = maps.Clone(*old)
		kinds[kind] = list
	}
	registry.kinds.Store(&kinds)
}

// Backends lists the backends for a kind of device, best first.
func Backends(kind string) []Backend {
	list := registered(kind)
	out := make([]Backend, len(list))
	for i, r := range list {
		out[i] = r.backend
	}
	return out
}

// observer is what Observe installed, nil if there is nothing.
var observer atomic.Pointer[func(stage string, b Backend)]

// Observe has f called after each stage that Dispatch has run, with the stage's name and the backend that took it, until stop is
// called. It is for measurements and tests: one observer at a time, the last one installed. f must be safe for concurrent use; nil
// observes nothing.
func Observe(f func(stage string, b Backend)) (stop func()) {
	if f == nil {
		f = func(string, Backend) {}
	}
	observer.Store(&f)
	return func() { observer.CompareAndSwap(&f, nil) }
}

// Dispatch calls the stage S of the best backend for d that has it and does not decline with ErrUnsupported. The stage's
// name is for the error that says nobody took it.
func Dispatch[S any](d Device, stage string, call func(S) error) error {
	list := registered(d.Kind())
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
		if err == nil {
			if f := observer.Load(); f != nil {
				(*f)(stage, r.backend)
			}
			return nil
		}
		if !errors.Is(err, ErrUnsupported) {
			return err
		}
		declined = errors.Join(declined, fmt.Errorf("%s: %w", r.backend.Name(), err))
	}
	if declined != nil {
		return fmt.Errorf("%s on device %v: %w", stage, d, declined)
	}
	return fmt.Errorf("%s: no backend for device %v has this stage: %w", stage, d, ErrUnsupported)
}
