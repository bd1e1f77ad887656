// Command asmgen writes the assembly of package ops/cpu and the Go declarations that go with it; go generate ./ops/cpu runs it.
//
// It is a module of its own, so that its dependencies are none of the module's users'. What it writes depends on nothing but
// its source.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("asmgen: ")
	dir := flag.String("o", ".", "the `folder` of package cpu")
	peakDir := flag.String("peak", ".", "the `folder` of package peak")
	flag.Parse()

	narrow, wide, bf16, amx := newGen("AVX2", 8), newGen("AVX512", 16), newGen("AVX512BF16", 16), newGen("AMX", 16)
	narrow.numbers()
	for _, g := range []*gen{narrow, wide} {
		g.common()
		g.tile(besideF32)
		g.tile(besideWidened)
		g.beside()
	}
	narrow.fewParked(f32)
	narrow.fewParked(widened)
	narrow.transpose("transposePanel", 24)
	wide.few(f32)
	wide.few(widened)
	bf16.tile(dotBF16)
	bf16.few(dotBF16)
	amx.tileDotAMX()
	amx.fewDotAMX()
	narrowBlocks, wideBlocks := newGen("AVX2", 8), newGen("AVX512", 16)
	narrowBlocks.blocks()
	wideBlocks.blocks()
	bytesBlocks := newGen("AVX512VNNI", 16)
	bytesBlocks.blocksInBytes()
	narrowStages, wideStages := newGen("AVX2", 8), newGen("AVX512", 16)
	for _, g := range []*gen{narrowStages, wideStages} {
		g.stages()
	}
	for name, g := range map[string]*gen{
		"avx2": narrow, "avx512": wide, "avx512bf16": bf16, "amx": amx,
		"blocks_avx2": narrowBlocks, "blocks_avx512": wideBlocks, "blocks_avx512vnni": bytesBlocks,
		"stages_avx2": narrowStages, "stages_avx512": wideStages,
	} {
		if err := g.save(filepath.Join(*dir, name+"_amd64")); err != nil {
			log.Fatal(err)
		}
	}
	arm, armBlocks, armStages := newNEON(), newNEON(), newNEON()
	arm.common()
	armBlocks.blocks()
	armStages.stages()
	for name, g := range map[string]*neon{"neon": arm, "blocks_neon": armBlocks, "stages_neon": armStages} {
		if err := g.save(filepath.Join(*dir, name+"_arm64")); err != nil {
			log.Fatal(err)
		}
	}
	for name, g := range map[string]interface {
		peak()
		save(path string) error
	}{
		"peak_avx2_amd64": newGen("AVX2", 8), "peak_avx512_amd64": newGen("AVX512", 16), "peak_neon_arm64": newNEON(),
	} {
		g.peak()
		if err := g.save(filepath.Join(*peakDir, name)); err != nil {
			log.Fatal(err)
		}
	}
	tiles := newGen("AMX", 16)
	tiles.amxPeak()
	if err := tiles.save(filepath.Join(*peakDir, "peak_amx_amd64")); err != nil {
		log.Fatal(err)
	}
}

// common are the kernels that every level has.
func (g *gen) common() {
	g.tile(f32)
	g.tile(widened)
	g.dots(false)
	g.dots(true)
	g.axpy()
	g.transpose("transpose", panelBytes/4)
	g.tileBLAS()
	g.copyPanel()
	g.widen()
	g.narrow()
	g.swiglu()
	g.addScaled()
}

// save writes path.s and path.go.
func (g *gen) save(path string) error { return save(g.Context, pass.Compile, path) }

func save(c *build.Context, compile pass.Interface, path string) error {
	out, err := c.Result()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := compile.Execute(out); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	cfg := printer.Config{Name: "internal/asmgen", Pkg: filepath.Base(filepath.Dir(path))}
	if err := write(path+".s", printer.NewGoAsm(cfg), out); err != nil {
		return err
	}
	return write(path+".go", printer.NewStubs(cfg), out)
}

func write(path string, p printer.Printer, f *ir.File) error {
	text, err := p.Print(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o644)
}

// words writes a static table.
func words[E uint32 | uint64](c *build.Context, name string, list []E) {
	c.StaticGlobal(name)
	c.DataAttributes(8 | 16) // RODATA | NOPTR
	at := 0
	for _, x := range list {
		var word operand.Constant = operand.U64(x)
		if unsafe.Sizeof(x) == 4 {
			word = operand.U32(x)
		}
		c.AddDatum(at, word)
		at += word.Bytes()
	}
}
