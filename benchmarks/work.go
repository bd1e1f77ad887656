package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

// work is something that can be measured. A new one is an entry in a list below.
type work struct {
	name string
	what string
	// stage is the one whose backend is reported as the code that does the work. A work that runs no stage has none.
	stage string
	peer  string // the software that runs instead of a stage
	// weights lists the dtypes that the work's weights may have. A work without weights has none; it is measured once,
	// whatever -dtype says.
	weights []*dtype
	// activations lists the dtypes of activations that it takes.
	activations []*dtype
	// host says that it runs on the host, whatever -backend says.
	host bool
	// leavesCaches says, of one on the host, that its operands are made as often as it takes for no run to find them in a cache.
	leavesCaches bool
	// layered says that it is made of layers, which make their plans themselves, whatever -rows says.
	layered bool
	// copies says that it copies, more or less: a copy of as many bytes is what it can reach at most.
	copies bool
	// flops are the multiplications and additions of its products and sums; empty for a work that only moves data.
	flops formula
	// bytes are those of the distinct data that must be moved, each read or written once.
	bytes formula
	// setup makes the operands and gives the function whose time is taken. It leaves errors in p.err.
	setup func(p *problem) func() error
}

// works are all there are, in the order of -h and of -work all.
var works = slices.Concat(routingWorks, rowWorks, copyWorks, expertWorks, decoderWorks, modelWorks, peerWorks, blasWorks)

// selectWorks reads a list of names. A name that is no work's own stands for all that begin with it and a dash.
func selectWorks(list string) ([]*work, error) {
	var out []*work
	add := func(match func(name string) bool) bool {
		found := false
		for i := range works {
			if match(works[i].name) {
				found = true
				if !slices.Contains(out, &works[i]) {
					out = append(out, &works[i])
				}
			}
		}
		return found
	}
	for _, word := range strings.Split(list, ",") {
		switch {
		case word == "all":
			add(func(string) bool { return true })
		case add(func(name string) bool { return name == word }):
		case add(func(name string) bool { return strings.HasPrefix(name, word+"-") }):
		default:
			return nil, fmt.Errorf("work %q, want all or some of %s", word, names(works, func(w work) string { return w.name }))
		}
	}
	return out, nil
}

// names lists what list holds for an error message.
func names[T any](list []T, name func(T) string) string {
	s := make([]string, len(list))
	for i, x := range list {
		s[i] = name(x)
	}
	return strings.Join(s, ", ")
}

// variant runs the work once and names the backends that took its stage. The fused stage of the experts falls to the products
// where nobody takes it.
func (w *work) variant(run func() error) (string, error) {
	if w.stage == "" {
		return w.peer, run()
	}
	var lock sync.Mutex
	took := make(map[string][]string) // names by stage
	stop := backend.Observe(func(stage string, b backend.Backend) {
		lock.Lock()
		defer lock.Unlock()
		if !slices.Contains(took[stage], b.Name()) {
			took[stage] = append(took[stage], b.Name())
		}
	})
	defer stop()
	err := run()
	names := took[w.stage]
	if names == nil && w.stage == "experts" {
		names = took["groupedmatmul"]
	}
	return strings.Join(names, ", "), err
}

// op is one op over values, run as a TapeMachine runs it: from the second time on it writes over its own output.
func (p *problem) op(build func(in gorgonia.Nodes) (*gorgonia.Node, error), values ...backend.Value) func() error {
	if p.err != nil {
		return nil
	}
	g := gorgonia.NewGraph()
	in := make(gorgonia.Nodes, len(values))
	for i, v := range values {
		n, err := layers.Input(g, fmt.Sprint("in", i), v)
		if err != nil {
			p.fail(err)
			return nil
		}
		in[i] = n
	}
	n, err := build(in)
	if err != nil {
		p.fail(err)
		return nil
	}
	op, ok := n.Op().(gorgonia.UsePreallocDoer)
	if !ok {
		p.fail(fmt.Errorf("op %v cannot write over its output", n.Op()))
		return nil
	}
	var out gorgonia.Value
	return func() (err error) {
		out, err = op.UsePreallocDo(out, values...)
		return err
	}
}

type (
	node  = gorgonia.Node
	build = func(in gorgonia.Nodes) (*node, error)
)

func unary(f func(a *node) (*node, error)) build {
	return func(in gorgonia.Nodes) (*node, error) { return f(in[0]) }
}

func binary(f func(a, b *node) (*node, error)) build {
	return func(in gorgonia.Nodes) (*node, error) { return f(in[0], in[1]) }
}

func ternary(f func(a, b, c *node) (*node, error)) build {
	return func(in gorgonia.Nodes) (*node, error) { return f(in[0], in[1], in[2]) }
}

// inOrder runs works one after the other.
func inOrder(runs ...func() error) func() error {
	return func() error {
		for _, run := range runs {
			if err := run(); err != nil {
				return err
			}
		}
		return nil
	}
}
