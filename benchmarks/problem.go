package main

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// problem is what a work is set up for. Its methods make operands on its device; the first error stays in err, and after
// it they give nothing of use, so that a setup may check err once, at its end.
type problem struct {
	shape       shape
	tokens      int
	context     int // positions in the key/value cache before the tokens
	layers      int // of a model
	align       int // of an expert's rows in the plan
	rowCount    rows
	pack        bool
	weights     *dtype
	activations *dtype
	device      backend.Device
	ids         []int32 // (T,K)
	store       *store

	err error
}

// weightAmplitude is so small that a model's layers change the residual stream little, and with it the routing that the
// tokens were made for.
const weightAmplitude = 1. / 512

// fail keeps the first error.
func (p *problem) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// made passes on what an op gave and keeps its error.
func made[V backend.Value](p *problem) func(V, error) V {
	return func(v V, err error) V {
		if err != nil {
			p.fail(err)
		}
		return v
	}
}

// random is a tensor of random numbers in ±amplitude.
func (p *problem) random(dt *dtype, amplitude float32, dims ...int) backend.Value {
	v, err := newRandom(p.device, dt, amplitude, dims...)
	if err != nil {
		p.fail(err)
	}
	return v
}

func newRandom(d backend.Device, dt *dtype, amplitude float32, dims ...int) (backend.Value, error) {
	v, err := backend.Host.New(dt.of, dims)
	if err != nil {
		return nil, err
	}
	if err := dt.fill(v, amplitude); err != nil {
		return nil, err
	}
	if !dt.blocks {
		return backend.To(d, v)
	}
	if d != backend.Host {
		return nil, fmt.Errorf("weights of %s are for the CPU only: %w", dt.name, backend.ErrUnsupported)
	}
	return ops.QuantizeBlocks(v, dt.format)
}

// ints is a tensor of int32.
func (p *problem) ints(data []int32, dims ...int) backend.Value {
	if p.err != nil {
		return nil
	}
	return made[backend.Value](p)(backend.To(p.device, tensor.New(tensor.WithShape(dims...), tensor.WithBacking(data))))
}

// rows is a matrix of activations.
func (p *problem) rows(n, width int) backend.Value {
	if p.activations != fp8 {
		return p.random(p.activations, 1, n, width)
	}
	x := p.random(f32, 1, n, width)
	if p.err != nil {
		return nil
	}
	return made[*backend.Quantized](p)(ops.EvalQuantize(x))
}

func (p *problem) idsValue() backend.Value { return p.ints(p.ids, p.tokens, p.shape.K) }

// positions are those of the tokens, after the context.
func (p *problem) positions() backend.Value {
	at := make([]int32, p.tokens)
	for t := range at {
		at[t] = int32(p.context + t)
	}
	return p.ints(at, p.tokens)
}

// gates weighs all experts of a token alike.
func (p *problem) gates() backend.Value {
	g := make([]float32, len(p.ids))
	for i := range g {
		g[i] = 1 / float32(p.shape.K)
	}
	if p.err != nil {
		return nil
	}
	return made[backend.Value](p)(backend.To(p.device, tensor.New(tensor.WithShape(p.tokens, p.shape.K), tensor.WithBacking(g))))
}

// expertMap sends the router's experts 0 … E−1 here and the rest elsewhere; it is nil if all are here.
func (p *problem) expertMap() []int32 {
	if p.shape.G == p.shape.E {
		return nil
	}
	m := make([]int32, p.shape.G)
	for e := range m {
		m[e] = -1
		if e < p.shape.E {
			m[e] = int32(e)
		}
	}
	return m
}

func (p *problem) planConfig() ops.PlanConfig {
	return ops.PlanConfig{Experts: p.shape.E, Align: p.align, Rows: p.planRows()}
}

// plan is where the rows of the routing go.
func (p *problem) plan() *backend.Plan {
	ids := p.idsValue()
	var expertMap backend.Value
	if m := p.expertMap(); m != nil {
		expertMap = p.ints(m, len(m))
	}
	if p.err != nil {
		return nil
	}
	return made[*backend.Plan](p)(ops.EvalPlan(ids, expertMap, p.planConfig()))
}

// rows says what R, the rows of a plan, is.
type rows string

const (
	boundRows rows = "bound" // the least that holds any routing (backend.RowBound)
	exactRows rows = "exact" // what this one needs (backend.RowsForCounts), at least A
)

// planRows is R, the rows of the plan.
func (p *problem) planRows() int {
	align := max(p.align, 1)
	r, err := backend.RowBound(p.tokens, p.shape.K, p.shape.E, align)
	if p.rowCount == exactRows && err == nil {
		r, err = backend.RowsForCounts(p.counts(), align)
		r = max(r, align) // for a plan 0 stands for the bound
	}
	if err != nil {
		p.fail(err)
	}
	return r
}

// counts is the number of rows of each expert that is here.
func (p *problem) counts() []int32 {
	n := make([]int32, p.shape.E)
	for _, id := range p.ids {
		if int(id) < p.shape.E {
			n[id]++
		}
	}
	return n
}

// routable reports whether a token has a column for every expert of the router, as mark and router need.
func (p *problem) routable() bool {
	if p.shape.G > p.shape.H {
		p.fail(fmt.Errorf("shape %s: the logits of G = %d experts are laid out in the H = %d columns of a token, want H ≥ G", p.shape.name, p.shape.G, p.shape.H))
		return false
	}
	return p.err == nil
}

// mark writes into the tokens where the routing sends them: the first G columns of row t of the host tensor x (≥ T,H)
// become 0 but for those of the token's experts, which become 2 and a little less from slot to slot. The router, the first
// G rows of the unit matrix, reads them back as logits.
func (p *problem) mark(x backend.Value, dt *dtype) {
	row := make([]float32, p.shape.G)
	for t := range p.tokens {
		clear(row)
		for k, id := range p.ids[t*p.shape.K : (t+1)*p.shape.K] {
			row[id] = 2 - float32(k)/float32(p.shape.K)
		}
		if err := dt.put(x, t*p.shape.H, row); err != nil {
			p.fail(err)
			return
		}
	}
}

// routedRows is a matrix (n,H) whose first T rows are tokens that the router sends where the routing says.
func (p *problem) routedRows(dt *dtype, n int) backend.Value {
	if !p.routable() {
		return nil
	}
	x, err := newRandom(backend.Host, dt, 1./16, n, p.shape.H)
	if err != nil {
		p.fail(err)
		return nil
	}
	if p.mark(x, dt); p.err != nil {
		return nil
	}
	return made[backend.Value](p)(backend.To(p.device, x))
}

// cache is a key/value cache filled up to the context, with room for the tokens.
func (p *problem) cache() *backend.KVCache {
	c, err := backend.NewKVCache(backend.Host, f32.of, p.context+p.tokens, p.shape.P, p.shape.D)
	if err != nil {
		p.fail(err)
		return nil
	}
	for _, part := range c.Parts() {
		if err := f32.fill(part, 1); err != nil {
			p.fail(err)
			return nil
		}
	}
	v := made[backend.Value](p)(backend.To(p.device, c))
	if p.err != nil {
		return nil
	}
	return v.(*backend.KVCache)
}
