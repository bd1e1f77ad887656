package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// errDeclined marks a case whose operands the backend does not take.
var errDeclined = errors.New("operands declined")

// declined marks an error by which a backend declined; another is what it was.
func declined(err error) error {
	if errors.Is(err, backend.ErrUnsupported) {
		return fmt.Errorf("%w: %w", errDeclined, err)
	}
	return err
}

// env is what a check works with: where it runs, its random numbers and what went wrong beside the numbers.
type env struct {
	dev     backend.Device
	rng     *rand.Rand
	margins []margin
	found   []error
	took    bool // the backend has taken some operands
}

func (e *env) problem(format string, args ...any) {
	e.found = append(e.found, fmt.Errorf(format, args...))
}

// kernel is a stage with its hyper-parameters bound: it computes out from the sources.
type kernel func(out backend.Value, in []backend.Value) error

// apply calls the kernel twice with destinations shaped like out and gives the host copy of what the first call wrote. The
// two destinations hold different garbage before, so what differs after is either not written or not deterministic.
func (e *env) apply(call kernel, out backend.Value, in ...backend.Value) (backend.Value, error) {
	var results [2]backend.Value
	for i, fill := range []garbage{garbageNaN, garbageFinite} {
		result, err := e.once(call, e.poisoned(out, fill), in...)
		if err != nil {
			return nil, declined(err)
		}
		results[i] = result
	}
	first, second := leaves(results[0]), leaves(results[1])
	for i := range first {
		if at := firstDifference(first[i], second[i]); at >= 0 {
			return nil, fmt.Errorf("two runs differ in part %d of the destination at %v: not written, or not deterministic",
				i, indexOf(first[i].Shape(), at))
		}
	}
	return results[0], nil
}

// once calls the kernel on the destination out, a host value with any contents, and gives the host copy of it afterwards. The
// error is the stage's own or that of the device's Sync. What a call must leave alone is checked on the way.
func (e *env) once(call kernel, out backend.Value, in ...backend.Value) (backend.Value, error) {
	before := snapshot(out)
	onDevice, err := e.move(out)
	if err != nil {
		return nil, err
	}
	sources, copies := make([]backend.Value, len(in)), make([][][]byte, len(in))
	for i, v := range in {
		if v == nil {
			continue
		}
		copies[i] = snapshot(v)
		if sources[i], err = e.move(v); err != nil {
			return nil, err
		}
	}
	stageErr := errors.Join(call(onDevice, sources), e.dev.Sync())
	e.took = e.took || stageErr == nil
	if err := e.dev.Sync(); err != nil {
		e.problem("a second Sync reports an error again: %w", err)
	}
	for i, v := range sources {
		if v == nil {
			continue
		}
		back, err := backend.To(backend.Host, v)
		if err != nil {
			return nil, fmt.Errorf("download source %d: %w", i, err)
		}
		if !slices.EqualFunc(snapshot(back), copies[i], bytes.Equal) {
			e.problem("source %d was written to", i)
		}
	}
	for _, m := range e.margins {
		if err := m.check(); err != nil {
			e.problem("%w", err)
		}
	}
	result, err := backend.To(backend.Host, onDevice)
	if err != nil {
		return nil, fmt.Errorf("download the destination: %w", err)
	}
	if errors.Is(stageErr, backend.ErrUnsupported) && !slices.EqualFunc(snapshot(result), before, bytes.Equal) {
		e.problem("declined after the destination was written to: %w", stageErr)
	}
	return result, stageErr
}

// move brings a tensor or a composite to the device. A value that no device can know (a foreign one) stays what it is: the
// stage has to refuse it.
func (e *env) move(v backend.Value) (backend.Value, error) {
	switch v.(type) {
	case *tensor.Dense, backend.Composite:
		return backend.To(e.dev, v)
	}
	return v, nil
}

// refusal is a call that must end in an error.
type refusal struct {
	name string
	out  backend.Value
	in   []backend.Value
}

// refuses expects an error of each call that wraps wanted or, if that is nil, any sentinel of package backend.
func (e *env) refuses(call kernel, wanted error, calls ...refusal) error {
	for _, c := range calls {
		_, err := e.once(call, e.poisoned(c.out, garbageNaN), c.in...)
		switch {
		case err == nil:
			return fmt.Errorf("%s: no error", c.name)
		case wanted != nil && errors.Is(err, backend.ErrUnsupported):
			return declined(err)
		case wanted != nil && !errors.Is(err, wanted):
			return fmt.Errorf("%s: error %w is not %q", c.name, err, wanted)
		case !wrapsSentinel(err):
			return fmt.Errorf("%s: an error that wraps no sentinel of package backend: %w", c.name, err)
		}
	}
	return nil
}

func wrapsSentinel(err error) bool {
	return slices.ContainsFunc([]error{
		backend.ErrShape, backend.ErrDtype, backend.ErrParameter, backend.ErrExpertID,
		backend.ErrIndex, backend.ErrUnsupported, backend.ErrDevice, backend.ErrValue,
	}, func(sentinel error) bool { return errors.Is(err, sentinel) })
}

// views calls the kernel with each matrix among its sources replaced in turn by a view with gaps between its rows, which
// hold NaN. The result must be the one of contiguous sources, or an error.
func (e *env) views(call kernel, out backend.Value, in ...backend.Value) error {
	want, err := e.apply(call, out, in...)
	if err != nil {
		return err
	}
	for i, v := range in {
		d, ok := v.(*tensor.Dense)
		if !ok || d.Shape().Dims() != 2 {
			continue
		}
		strided := slices.Clone(in)
		if strided[i], err = e.withGaps(d); err != nil {
			return err
		}
		got, err := e.once(call, e.poisoned(out, garbageNaN), strided...)
		if err != nil {
			if !wrapsSentinel(err) {
				return fmt.Errorf("source %d is a view: an error that wraps no sentinel of package backend: %w", i, err)
			}
			continue
		}
		a, b := leaves(want), leaves(got)
		for j := range a {
			if at := firstDifference(a[j], b[j]); at >= 0 {
				return fmt.Errorf("source %d is a view with gaps and is read wrongly: the result differs at %v", i, indexOf(a[j].Shape(), at))
			}
		}
	}
	return nil
}

// without leaves out the calls of some names.
func without(calls []refusal, names ...string) []refusal {
	return slices.DeleteFunc(calls, func(c refusal) bool { return slices.Contains(names, c.name) })
}
