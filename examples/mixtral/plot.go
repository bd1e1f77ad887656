package main

import (
	"bufio"
	"errors"
	"fmt"
	"image/color"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Sizes of the heat map. A cell shrinks where there are many of them.
const (
	cellSize   = 1 * vg.Centimeter
	mapLeast   = 6 * vg.Centimeter
	mapLargest = 60 * vg.Centimeter
	scaleWidth = 2.5 * vg.Centimeter
	mapMargin  = 2.5 * vg.Centimeter // of axes and title
	blank      = 3 * vg.Millimeter   // around all
	shades     = 256
	mostLabels = 20 // ticks on an axis
)

// colourPoints are the colours of the scale, from none to the most tokens, ever lighter but none of them white.
var colourPoints = []color.Color{
	color.RGBA{68, 1, 84, 255}, color.RGBA{59, 82, 139, 255}, color.RGBA{33, 145, 140, 255}, color.RGBA{94, 201, 98, 255},
	color.RGBA{253, 231, 37, 255},
}

// grid is load[layer][expert] as the plotter wants it.
type grid [][]int64

func (g grid) Dims() (columns, rows int) { return len(g[0]), len(g) }
func (g grid) Z(column, row int) float64 { return float64(g[row][column]) }
func (g grid) X(column int) float64      { return float64(column) }
func (g grid) Y(row int) float64         { return float64(row) }
func (g grid) largest() (largest float64) {
	for _, layer := range g {
		for _, n := range layer {
			largest = max(largest, float64(n))
		}
	}
	return largest
}

// plotLoad draws load[layer][expert], at least one of each, as a heat map with a colour scale, and writes it to path as PNG.
func plotLoad(path string, load [][]int64) (err error) {
	g := grid(load)
	colours, err := moreland.NewLuminance(colourPoints)
	if err != nil {
		return err
	}
	colours.SetMin(0)
	colours.SetMax(max(1, g.largest()))
	experts, layers := g.Dims()

	cells := plot.New()
	cells.Title.Text = "Tokens that each expert got"
	cells.X.Label.Text, cells.Y.Label.Text = "expert", "layer"
	cells.X.Tick.Marker, cells.Y.Tick.Marker = integers(experts), integers(layers)
	cells.Y.Scale = plot.InvertedScale{Normalizer: plot.LinearScale{}} // the first layer on top
	heat := plotter.NewHeatMap(g, colours.Palette(shades))
	heat.Min, heat.Max = colours.Min(), colours.Max()
	cells.Add(heat)

	scale := plot.New()
	scale.HideX()
	scale.Y.Label.Text = "tokens"
	scale.Add(&plotter.ColorBar{ColorMap: colours, Vertical: true, Colors: shades})

	// At least as large as the title and the scale's ticks need.
	width := max(mapLeast, min(mapLargest, vg.Length(experts)*cellSize)) + mapMargin
	height := max(mapLeast, min(mapLargest, vg.Length(layers)*cellSize)) + mapMargin
	image := vgimg.New(width+scaleWidth, height)
	area := draw.New(image)
	cells.Draw(draw.Crop(area, blank, -scaleWidth-blank, blank, -blank))
	scale.Draw(draw.Crop(area, width, -blank, blank, -blank))

	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("-load-plot: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriter(file)
	if _, err := (vgimg.PngCanvas{Canvas: image}).WriteTo(w); err != nil {
		return fmt.Errorf("-load-plot %s: %w", path, err)
	}
	return w.Flush()
}

// integers are ticks at 0, 1, … n−1, or at every so many of them.
func integers(n int) plot.ConstantTicks {
	step := (n + mostLabels - 1) / mostLabels
	var ticks plot.ConstantTicks
	for i := 0; i < n; i += step {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: strconv.Itoa(i)})
	}
	return ticks
}
