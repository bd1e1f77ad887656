package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
)

// neon writes the kernels for the vectors of arm64, four elements of 32 bits each. Files, signatures and printing are avo's,
// which knows no instruction of arm64.
type neon struct{ *build.Context }

func newNEON() *neon { return &neon{build.NewContext()} }

// general is a general register, R0 to R17 being free for use.
type general int

func (r general) String() string { return fmt.Sprintf("R%d", int(r)) }

// vector is a vector register.
type vector int

// of is the register as elements: "S4" for four of 32 bits, "S[1]" for the second of those.
func (v vector) of(elements string) string { return fmt.Sprintf("V%d.%s", int(v), elements) }

// scalar is the name by which loads, stores and scalar instructions know the register.
func (v vector) scalar() string { return fmt.Sprintf("F%d", int(v)) }

// pair is two registers as the operand of a load or store.
func pair(a, b vector) string { return fmt.Sprintf("(%s, %s)", a.scalar(), b.scalar()) }

// at is the memory some bytes behind a register.
func at(base general, bytes int) string { return fmt.Sprintf("%d(%v)", bytes, base) }

// text is an operand or a part of one, as it is printed.
type text string

// Asm implements operand.Op.
func (t text) Asm() string { return string(t) }

// do writes an instruction in the notation of Go's assembler. An operand is a register, the name of a label, a string as it is
// printed, or a number.
func (g *neon) do(opcode string, operands ...any) {
	list := make([]operand.Op, len(operands))
	for i, o := range operands {
		if n, ok := o.(int); ok {
			o = fmt.Sprintf("$%d", n)
		}
		list[i] = text(fmt.Sprint(o))
	}
	g.Instruction(&ir.Instruction{Opcode: opcode, Operands: list})
}

// common are the kernels that every level has.
func (g *neon) common() {
	g.tile(f32)
	g.tile(widened)
	g.dots(false)
	g.dots(true)
	g.axpy()
	g.transpose("transpose", panelBytes/4)
	g.tileBLAS()
	g.copyPanel()
	g.transpose("transposePanel", neonBLASPanel/4)
	g.widen()
	g.widenPanel()
	g.narrow()
	g.swiglu()
	g.addScaled()
}

// function begins a kernel.
func (g *neon) function(name, signature string, doc ...string) {
	g.Function(name + "NEON")
	g.Attributes(4) // NOSPLIT
	g.Doc(doc...)
	g.Pragma("noescape")
	g.SignatureExpr(signature)
}

// load reads the parameter name into a register.
func (g *neon) load(name string, to general) {
	b, err := g.Param(name).Resolve()
	if err != nil {
		panic(err) // the generator names a parameter that it did not declare
	}
	g.do("MOVD", b.Addr.Asm(), to)
}

// loadFloat reads the parameter name into the first element of a vector: a float32 by FMOVS, a float64 by FMOVD.
func (g *neon) loadFloat(opcode, name string, to vector) {
	b, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	g.do(opcode, b.Addr.Asm(), to.scalar())
}

// result stores a register as what the function gives.
func (g *neon) result(opcode string, from any) {
	b, err := g.ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	g.do(opcode, from, b.Addr.Asm())
}

// constant sets all elements of a vector to 32 bits, by way of a general register.
func (g *neon) constant(bits int, by general, to vector) {
	g.do("MOVD", bits, by)
	g.do("VDUP", by, to.of("S4"))
}

// address is that of a table.
func (g *neon) address(table string, to general) { g.do("MOVD", "$"+table+"<>(SB)", to) }

// loop runs body as often as the counter, which is not negative, counts down by step; what is left stays in the counter.
func (g *neon) loop(label string, counter general, step int, body func()) {
	g.do("SUBS", step, counter, counter)
	g.do("BLT", label+"_done")
	g.Label(label)
	body()
	g.do("SUBS", step, counter, counter)
	g.do("BGE", label)
	g.Label(label + "_done")
	g.do("ADD", step, counter, counter)
}

// rows makes pointers to rows of one that is there, ld bytes apart.
func (g *neon) rows(first general, n int, ld general) {
	for r := first; r < first+general(n)-1; r++ {
		g.do("ADD", ld, r, r+1)
	}
}

func (g *neon) zero(v vector) { g.do("VMOVI", 0, v.of("B16")) }

func (g *neon) copy(from, to vector) { g.do("VMOV", from.of("B16"), to.of("B16")) }

// save writes path.s and path.go.
func (g *neon) save(path string) error {
	return save(g.Context, pass.Func(pass.IncludeTextFlagHeader), path)
}
