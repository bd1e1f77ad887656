package main

import (
	"image"
	"image/color"
	_ "image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestLoadTable(t *testing.T) {
	var b strings.Builder
	if err := writeLoad(&b, [][]int64{{1, 20, 0}, {7, 7, 7}}); err != nil {
		t.Fatal(err)
	}
	const want = "tokens that each expert got\n" +
		"   expert  0   1  2\n" +
		"  layer 0  1  20  0\n" +
		"  layer 1  7   7  7\n"
	if b.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", b.String(), want)
	}
}

// Every token that ran went to K experts of each layer.
func TestLoadCountsEveryToken(t *testing.T) {
	out := succeed(t, "", "-model", "testdata/golden/public-f32", "-ids", "5,6,7", "-n", "4", "-load")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 1+2+2 {
		t.Fatalf("output is %q", out)
	}
	for _, line := range lines[3:] {
		sum := 0
		for _, field := range strings.Fields(line)[2:] {
			n, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if sum != 2*(3+3) { // the last of the four new tokens did not run
			t.Errorf("%q sums to %d, want 12", line, sum)
		}
	}
}

func TestPlot(t *testing.T) {
	wide := make([][]int64, 3)
	for i := range wide {
		wide[i] = make([]int64, 200)
		wide[i][10*i] = int64(i)
	}
	for name, load := range map[string][][]int64{
		"ordinary":   {{1, 2, 3, 4}, {5, 0, 0, 1}},
		"one expert": {{9}, {8}},
		"one cell":   {{3}},
		"no tokens":  {{0, 0}, {0, 0}},
		"all equal":  {{2, 2}, {2, 2}},
		"wide":       wide,
	} {
		path := filepath.Join(t.TempDir(), "load.png")
		if err := plotLoad(path, load); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if colours := len(coloursOf(t, path)); colours < 50 { // the scale alone has more
			t.Errorf("%s: the picture has %d colours", name, colours)
		}
	}
}

func TestPlotShowsTheCounts(t *testing.T) {
	dir := t.TempDir()
	draw := func(name string, load [][]int64) map[color.Color]int {
		path := filepath.Join(dir, name)
		if err := plotLoad(path, load); err != nil {
			t.Fatal(err)
		}
		return coloursOf(t, path)
	}
	// An expert without tokens has the dark end's colour.
	bright, dark := draw("bright", [][]int64{{9, 9, 9, 0}}), draw("dark", [][]int64{{0, 0, 0, 9}})
	end := color.RGBAModel.Convert(colourPoints[0])
	if dark[end] < 2*bright[end] {
		t.Errorf("%d dark pixels with three empty experts, %d with one", dark[end], bright[end])
	}
}

// coloursOf counts the pixels of each colour.
func coloursOf(t *testing.T, path string) map[color.Color]int {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, format, err := image.Decode(file)
	if err != nil || format != "png" {
		t.Fatalf("format %q, %v", format, err)
	}
	seen := map[color.Color]int{}
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			seen[color.RGBAModel.Convert(picture.At(x, y))]++
		}
	}
	return seen
}

func TestLoadOfTheDemo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "load.png")
	out := succeed(t, "", "-load", "-load-plot", path)
	if !strings.Contains(out, "tokens that each expert got\n") || strings.Count(out, "\n  layer ") != 4 {
		t.Errorf("output is\n%s", out)
	}
	if len(coloursOf(t, path)) < 50 {
		t.Error("the heat map is empty")
	}
}
