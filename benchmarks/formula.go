package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"slices"
	"strconv"
	"strings"
)

// formula is a quantity of work as a sum of products, "2·N·H + 4·⌈H/128⌉". Its letters are those of quantities.
type formula string

// quantities are the letters of formulas with their values.
type quantities map[string]float64

// legend says what the letters mean.
const legend = `T tokens, H hidden width, F width of an expert, E experts here, K experts a token, G experts that the router knows,
M entries of the expert map (0 without one), R rows of the plan, N routed rows (slots whose expert is here),
S tokens and U experts that have a routed row, Q query heads, P key/value heads, D width of a head,
C positions in the cache before the tokens, V vocabulary, L layers;
bytes of an element: a activations (FP8 with its scales), o products (a; 4 for FP8), w experts' weights, m matrices of other linear maps,
b other weights`

// goSyntax turns a formula into an expression of Go.
var goSyntax = strings.NewReplacer("·", "*", "⌈", "ceil(", "⌉", ")")

// of computes the formula; that of an empty one is 0.
func (f formula) of(q quantities) (float64, error) {
	if f == "" {
		return 0, nil
	}
	e, err := parser.ParseExpr(goSyntax.Replace(string(f)))
	if err != nil {
		return 0, fmt.Errorf("formula %s: %w", f, err)
	}
	x, err := q.eval(e)
	if err != nil {
		return 0, fmt.Errorf("formula %s: %w", f, err)
	}
	return x, nil
}

func (q quantities) eval(e ast.Expr) (float64, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return strconv.ParseFloat(e.Value, 64)
	case *ast.Ident:
		x, ok := q[e.Name]
		if !ok {
			return 0, fmt.Errorf("unknown letter %s", e.Name)
		}
		return x, nil
	case *ast.ParenExpr:
		return q.eval(e.X)
	case *ast.CallExpr: // goSyntax writes no call but ceil's
		x, err := q.eval(e.Args[0])
		return math.Ceil(x), err
	case *ast.BinaryExpr:
		x, err := q.eval(e.X)
		if err != nil {
			return 0, err
		}
		y, err := q.eval(e.Y)
		if err != nil {
			return 0, err
		}
		switch e.Op {
		case token.ADD:
			return x + y, nil
		case token.MUL:
			return x * y, nil
		case token.QUO:
			return x / y, nil
		}
	}
	return 0, fmt.Errorf("only sums, products, quotients and ⌈⌉ can be computed, not a %T", e)
}

// quantities counts what the problem comes to.
func (p *problem) quantities() quantities {
	s := &p.shape
	q := quantities{
		"T": float64(p.tokens), "C": float64(p.context), "L": float64(p.layers),
		"M": float64(len(p.expertMap())), "R": float64(p.planRows()),
		"N": 0, "S": 0, "U": 0,
		"a": p.activations.activationBytes(), "o": p.activations.product().activationBytes(),
		"w": p.weights.weightBytes(), "b": p.weights.beside().weightBytes(), "m": p.weights.matrix().weightBytes(),
	}
	for _, size := range sizes {
		q[size.letter] = float64(*size.of(s))
	}
	for _, n := range p.counts() {
		q["N"] += float64(n)
		if n > 0 {
			q["U"]++
		}
	}
	for row := range slices.Chunk(p.ids, s.K) {
		if slices.ContainsFunc(row, func(id int32) bool { return int(id) < s.E }) {
			q["S"]++
		}
	}
	return q
}
