package main

import (
	"flag"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
)

// options are what the flags say.
type options struct {
	works       []*work
	shapes      []shape
	tokens      []int
	dtypes      []*dtype
	activations *dtype
	routing     routing
	backend     *place
	device      backend.Device
	context     int
	layers      int
	align       int
	rows        rows
	pack        bool
	cpus        int
	budget      time.Duration
	pause       time.Duration
	json        bool
	ceilings    bool
}

// newFlags are the flags of o. Those that are lists or names write into o as they are parsed.
func newFlags(o *options) *flag.FlagSet {
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	list := func(name, value, usage string, parse func(string) error) {
		if err := parse(value); err != nil {
			panic(err) // a default that is wrong
		}
		f.Func(name, usage+" (default "+value+")", parse)
	}
	list("work", "experts", "`names` of what to measure, or all; a name stands for all that begin with it and a dash", func(s string) (err error) {
		o.works, err = selectWorks(s)
		return err
	})
	list("shape", "mixtral", "`shapes` by name or by hand: mixtral,H=1024,F=3584,E=8,K=2; see below", func(s string) (err error) {
		o.shapes, err = parseShapes(s)
		return err
	})
	list("tokens", "1,8,64,512", "`numbers` of tokens T", func(s string) (err error) {
		o.tokens, err = parseTokens(s)
		return err
	})
	list("dtype", "f32", "`dtypes` of the weights: f32, bf16, f16, fp8, q8_0, q4_0", func(s string) (err error) {
		o.dtypes, err = parseDtypes(s)
		return err
	})
	list("activations", "f32", "`dtype` of the activations: f32, bf16, f16, fp8", func(s string) (err error) {
		o.activations, err = parseDtype(s)
		return err
	})
	list("routing", "balanced", "`routing` of the tokens: one of those below or a JSON file of rows of ids, [[3,5],[1,0]]", func(s string) (err error) {
		o.routing, err = parseRouting(s)
		return err
	})
	list("rows", "bound", "`R` of plans, rows of the permuted matrix: bound, that of any routing, or exact, that of this one; layers and models have the bound", func(s string) error {
		o.rows = rows(s)
		if o.rows != boundRows && o.rows != exactRows {
			return fmt.Errorf("rows %q, want %s or %s", s, boundRows, exactRows)
		}
		return nil
	})
	list("backend", "cpu", "`backend` to run on: "+names(places, func(p place) string { return p.kind }), func(s string) error {
		i := slices.IndexFunc(places, func(p place) bool { return p.kind == s })
		if i < 0 {
			return fmt.Errorf("backend %q, want one of %s", s, names(places, func(p place) string { return p.kind }))
		}
		o.backend = &places[i]
		return nil
	})
	f.IntVar(&o.context, "context", 512, "`positions` in the key/value cache before the tokens")
	f.IntVar(&o.layers, "layers", 2, "`layers` of a model")
	f.IntVar(&o.align, "align", 1, "each expert's segment of rows is a multiple of this `number`")
	f.BoolVar(&o.pack, "pack", false, "pack the weights before the clock starts, in the order of memory that the backend likes; not for peers")
	f.IntVar(&o.cpus, "cpus", 0, "GOMAXPROCS, a `number`; 0: all")
	f.DurationVar(&o.budget, "time", time.Second, "time a case; at least 5 samples are taken whatever it says")
	f.DurationVar(&o.pause, "pause", 0, "rest before the clock of a case starts, for machines that slow down some seconds after they got busy")
	f.BoolVar(&o.json, "json", false, "print a line of JSON a case, no table")
	f.BoolVar(&o.ceilings, "ceilings", false, "measure first what the CPUs and the memory can do at most, and each case's share of it; takes 2 GiB of memory")
	return f
}

// parseOptions reads the flags; flag.ErrHelp means that help is asked for.
func parseOptions(args []string) (*options, error) {
	o := &options{}
	f := newFlags(o)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("argument %q, want flags only", f.Arg(0))
	case o.context < 0 || o.layers < 1 || o.align < 1 || o.cpus < 0 || o.budget < 0 || o.pause < 0:
		return nil, fmt.Errorf("-context %d -layers %d -align %d -cpus %d -time %v -pause %v, want ≥ 0, ≥ 1, ≥ 1, ≥ 0, ≥ 0, ≥ 0",
			o.context, o.layers, o.align, o.cpus, o.budget, o.pause)
	}
	for range o.cases() {
		var err error
		o.device, err = o.backend.open()
		return o, err
	}
	return nil, fmt.Errorf("nothing to measure: no work named takes weights of %s with activations of %s",
		names(o.dtypes, func(d *dtype) string { return d.name }), o.activations.name)
}

func parseTokens(list string) ([]int, error) {
	var out []int
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 || n > math.MaxInt32 {
			return nil, fmt.Errorf("tokens %q, want a whole number from 1 to %d", word, math.MaxInt32)
		}
		out = append(out, n)
	}
	return out, nil
}

func parseDtypes(list string) ([]*dtype, error) {
	var out []*dtype
	for _, word := range strings.Split(list, ",") {
		d, err := parseDtype(word)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// cases are all that the options ask for, those with the same weights one after the other. A work is left out for dtypes
// that it does not take, and is there once if it has no weights.
func (o *options) cases() iter.Seq[*benchmark] {
	weights := &store{}
	return func(yield func(*benchmark) bool) {
		for _, s := range o.shapes {
			for i, dt := range o.dtypes {
				for _, w := range o.works {
					if !slices.Contains(w.activations, o.activations) || !w.takes(dt, i) {
						continue
					}
					for _, t := range o.tokens {
						if !yield(&benchmark{work: w, shape: s, tokens: t, dtype: dt, store: weights}) {
							return
						}
					}
				}
			}
		}
	}
}

// takes tells whether the work is measured with weights of the dtype, the i-th of those asked for.
func (w *work) takes(dt *dtype, i int) bool {
	if len(w.weights) == 0 {
		return i == 0
	}
	return slices.Contains(w.weights, dt)
}

// help writes what -h shows.
func help(out io.Writer) error {
	f := newFlags(&options{})
	f.SetOutput(out)
	fmt.Fprintln(out, "benchmarks measures ops, layers and models of this module.\n\nFlags:")
	f.PrintDefaults()
	fmt.Fprintln(out, "\nWorks:")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, w := range works {
		fmt.Fprintf(table, "  %s\t%s\n", w.name, w.what)
		if w.flops != "" {
			fmt.Fprintf(table, "  \t  flops  %s\n", w.flops)
		}
		fmt.Fprintf(table, "  \t  bytes  %s\n", w.bytes)
	}
	table.Flush()
	fmt.Fprintf(out, "\n%s.\n\nShapes:\n", legend)
	for _, s := range shapes {
		fmt.Fprintf(table, "  %s\tH=%d\tF=%d\tE=%d\tK=%d\tG=%d\tQ=%d\tP=%d\tD=%d\tV=%d\n", s.name, s.H, s.F, s.E, s.K, s.G, s.Q, s.P, s.D, s.V)
	}
	table.Flush()
	fmt.Fprintln(out, "  By hand H comes first, and F, E and K must be there; G=E, D=128, Q=H/D, P=Q/4 (Q if 4 does not divide it), V=32000\n  unless they are given.\n\nRoutings:")
	for _, r := range routings {
		fmt.Fprintf(table, "  %s\t%s\n", r.name, r.what)
	}
	return table.Flush()
}
