package backend

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"
)

type named struct{ name string }

func (n named) Name() string { return n.name }

// adder has the stage Add and answers with err.
type adder struct {
	named
	err   error
	calls *[]string
}

func (a adder) Add(_, _, _ Value) error { *a.calls = append(*a.calls, a.name); return a.err }

type place struct {
	Device
	kind string
}

func (p place) Kind() string   { return p.kind }
func (p place) String() string { return p.kind + ":0" }

func dispatch(kind string) error {
	return Dispatch(place{Host, kind}, "add", func(s Add) error { return s.Add(nil, nil, nil) })
}

func TestDispatchAsksTheBestFirst(t *testing.T) {
	var calls []string
	declines := fmt.Errorf("not today: %w", ErrUnsupported)
	Register("test", 1, adder{named{"low"}, nil, &calls})
	Register("test", 9, named{"no stage"})
	Register("test", 5, adder{named{"high"}, declines, &calls})
	Register("test", 1, adder{named{"later"}, nil, &calls})
	if err := dispatch("test"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(calls, " "); got != "high low" {
		t.Errorf("asked %q, want high, which declines, then low", got)
	}
	var order []string
	for _, b := range Backends("test") {
		order = append(order, b.Name())
	}
	if got := strings.Join(order, ", "); got != "no stage, high, low, later" {
		t.Errorf("backends in the order %s", got)
	}
}

func TestPrioritiesAreAnyInts(t *testing.T) {
	Register("any ints", math.MinInt, named{"least"})
	Register("any ints", math.MaxInt, named{"most"})
	if list := Backends("any ints"); list[0].Name() != "most" {
		t.Errorf("%s comes first", list[0].Name())
	}
}

func TestObserveNamesWhoRan(t *testing.T) {
	var calls, seen []string
	see := func(stage string, b Backend) { seen = append(seen, stage+" by "+b.Name()) }
	Register("observed", 2, adder{named{"declines"}, ErrUnsupported, &calls})
	Register("observed", 1, adder{named{"runs"}, nil, &calls})
	Register("broken", 1, adder{named{"fails"}, ErrShape, &calls})
	stop := Observe(see)
	for _, kind := range []string{"observed", "broken", "nobody's"} {
		if err := dispatch(kind); (err == nil) != (kind == "observed") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	stop()
	if err := dispatch("observed"); err != nil {
		t.Error(err)
	}
	later := Observe(see)
	stop() // of another that is over
	if err := dispatch("observed"); err != nil {
		t.Error(err)
	}
	later()
	Observe(nil)
	if err := dispatch("observed"); err != nil {
		t.Error(err)
	}
	if got := strings.Join(seen, ", "); got != "add by runs, add by runs" {
		t.Errorf("seen %q, want add by runs once for each of two observers", got)
	}
}

func TestDispatchStopsAtAnError(t *testing.T) {
	var calls []string
	broken := errors.New("broken")
	Register("failing", 2, adder{named{"first"}, broken, &calls})
	Register("failing", 1, adder{named{"second"}, nil, &calls})
	if err := dispatch("failing"); !errors.Is(err, broken) || len(calls) != 1 {
		t.Errorf("error %v after %v, want the first one's and no second call", err, calls)
	}
}

func TestDispatchSaysWhyNobodyTookIt(t *testing.T) {
	if err := dispatch("empty"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "ops/empty") {
		t.Errorf("no backend: %v", err)
	}
	Register("stageless", 0, named{"x"})
	if err := dispatch("stageless"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("no stage: %v", err)
	}
	var calls []string
	Register("declining", 0, adder{named{"shy"}, fmt.Errorf("odd width: %w", ErrUnsupported), &calls})
	if err := dispatch("declining"); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "shy: odd width") {
		t.Errorf("declined: %v", err)
	}
}

func TestContiguousAndSlice(t *testing.T) {
	base := tensor.New(tensor.WithShape(3, 4), tensor.WithBacking([]BF16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}))
	view, err := base.Slice(tensor.S(1, 3), tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Slice[BF16](view.(*tensor.Dense)); !errors.Is(err, ErrValue) {
		t.Errorf("Slice of a view with gaps: %v, want ErrValue", err)
	}
	if _, err := Bytes(view.(*tensor.Dense)); !errors.Is(err, ErrValue) {
		t.Errorf("Bytes of a view with gaps: %v, want ErrValue", err)
	}
	dense, err := Contiguous(view.(*tensor.Dense))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Slice[BF16](dense); err != nil || fmt.Sprint([]uint16{uint16(got[0]), uint16(got[1]), uint16(got[2]), uint16(got[3])}) != "[5 6 9 10]" {
		t.Errorf("the view made contiguous is %v, %v, want 5 6 9 10", got, err)
	}
	if _, err := Slice[F16](base); !errors.Is(err, ErrDtype) {
		t.Errorf("Slice of another type: %v, want ErrDtype", err)
	}
	empty := tensor.New(tensor.WithShape(0, 4), tensor.Of(BFloat16))
	if s, err := Slice[BF16](empty); err != nil || len(s) != 0 {
		t.Errorf("Slice of nothing: %v, %v", s, err)
	}
	if c, err := Contiguous(empty); err != nil || c != empty {
		t.Errorf("Contiguous of nothing: %v", err)
	}
	masked := tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}, []bool{true, false}))
	if _, err := Contiguous(masked); !errors.Is(err, ErrValue) {
		t.Errorf("a masked tensor: %v, want ErrValue", err)
	}
	if _, err := Host.New(tensor.Float32, tensor.Shape{2, -1}); !errors.Is(err, ErrShape) {
		t.Errorf("a negative dimension: %v, want ErrShape", err)
	}
}

func TestOverlap(t *testing.T) {
	data := make([]float32, 10)
	at := func(lo, hi int) Value { return tensor.New(tensor.WithShape(hi-lo), tensor.WithBacking(data[lo:hi])) }
	for _, c := range []struct {
		a, b Value
		want bool
	}{{at(0, 5), at(5, 10), false}, {at(0, 6), at(5, 10), true}, {at(0, 10), at(3, 4), true},
		{at(0, 5), tensor.New(tensor.WithShape(0), tensor.Of(tensor.Float32)), false}} {
		if Overlap(c.a, c.b) != c.want || Overlap(c.b, c.a) != c.want {
			t.Errorf("Overlap of %v and %v is not %v", c.a.Shape(), c.b.Shape(), c.want)
		}
	}
}
