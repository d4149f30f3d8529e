package report

import (
	"fmt"
	"math"
	"strings"
)

// A drawing is a plot as inline SVG. A page has one drawing of a plot for each size of screen, and
// CSS shows the drawing that fits. Scaling one drawing is not enough: its text would be too small
// on a phone, and a phone has room for fewer ticks.
//
// Shapes are drawn in the order of the fields, so text is always on top of lines. Colours come from
// classes of the page's style sheet, so the same drawing works in light mode, in dark mode and on
// paper.
type drawing struct {
	Size          size
	ID            string // unique in the page; newRun sets it
	Title, Desc   string
	Width, Height float64
	Rects         []rect
	Paths         []path
	Dots          []dot
	Texts         []text
}

// size is a size of screen for which a drawing is made.
type size string

const (
	wide   size = "wide"   // a desktop: the plot takes both columns
	medium size = "medium" // a tablet, paper, or one column on a desktop
	small  size = "small"  // a phone
)

func (s size) width() float64 {
	return map[size]float64{wide: 1136, medium: 552, small: 368}[s]
}

// pick returns the value for size s.
func pick[T any](s size, small_, medium_, wide_ T) T {
	switch s {
	case small:
		return small_
	case medium:
		return medium_
	}
	return wide_
}

type rect struct {
	Class               string
	X, Y, Width, Height string
}

type path struct{ Class, D string }

type dot struct{ Class, X, Y, R string }

type text struct {
	Class, Anchor string // Anchor is start, middle or end
	X, Y          string // position of the anchor on the baseline
	Text          string
}

const (
	letterSize = 12.0 // size of letters in units of the drawing; page.css has the same value
	lineHeight = 15.0
	halfCap    = 4.5 // distance from the middle of a digit down to its baseline
	wordGap    = 7.0 // minimum space between two labels on one line
)

// letterWidths has the widths of the letters from space to tilde in DejaVu Sans Bold, in
// thousandths of the letter size. DejaVu Sans Bold is the widest of the fonts that browsers
// commonly use for a page without its own font. Linux machines without other fonts use DejaVu.
var letterWidths = [...]float64{
	349, 457, 521, 838, 696, 1002, 873, 307, 458, 458, 523, 838, 380, 416, 380, 366, // space to /
	696, 696, 696, 696, 696, 696, 696, 696, 696, 696, 400, 400, 838, 838, 838, 581, // 0 to ?
	1000, 774, 763, 734, 831, 684, 684, 821, 837, 373, 373, 775, 638, 996, 837, 851, // @ to O
	733, 851, 771, 721, 683, 813, 774, 1104, 771, 725, 726, 458, 366, 458, 838, 500, // P to _
	500, 675, 716, 593, 716, 679, 436, 716, 712, 343, 343, 666, 343, 1042, 712, 688, // ` to o
	716, 716, 494, 596, 479, 712, 652, 924, 646, 652, 583, 712, 366, 712, 838, // p to ~
}

// lengthOf returns the maximum width of a text in a plot, in units of the drawing. It assumes the
// widest common font, because the font of the browser is not known here.
func lengthOf(s string) float64 {
	width := 0.0
	for _, r := range s {
		switch i := int(r - ' '); {
		case r == '\u00a0':
			width += letterWidths[0]
		case i >= 0 && i < len(letterWidths):
			width += letterWidths[i]
		default:
			width += 1000
		}
	}
	return width * letterSize / 1000
}

func newDrawing(s size, height float64, title, desc string) *drawing {
	return &drawing{Size: s, Title: title, Desc: desc, Width: s.width(), Height: height}
}

// ViewBox returns the viewBox attribute of the SVG; the template of the page
// calls it.
func (d *drawing) ViewBox() string { return fmt.Sprintf("0 0 %s %s", num(d.Width), num(d.Height)) }

// num formats a coordinate. It rounds to a tenth of a pixel, which is finer
// than the eye can see.
func num(v float64) string { return plain(math.Round(finite(v)*10) / 10) }

func (d *drawing) rect(class string, x1, y1, x2, y2 float64) {
	x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
	d.Rects = append(d.Rects, rect{class, num(x1), num(y1), num(x2 - x1), num(y2 - y1)})
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	d.Paths = append(d.Paths, path{class, fmt.Sprintf("M%s %sL%s %s", num(x1), num(y1), num(x2), num(y2))})
}

func (d *drawing) dot(class string, x, y, r float64) {
	d.Dots = append(d.Dots, dot{class, num(x), num(y), num(r)})
}

func (d *drawing) text(class, anchor string, x, y float64, s string) {
	d.Texts = append(d.Texts, text{class, anchor, num(x), num(y), s})
}

// A panel is a rectangle of a drawing with its own axes. A drawing may have
// several panels below each other.
type panel struct {
	d                        *drawing
	left, top, right, bottom float64
	x, y                     scale
}

// yAxis draws a horizontal line and a number for each value of ticks, and a thin line for each
// value of thin. It draws no line for the axis itself.
func (p *panel) yAxis(ticks, thin []float64, format func(float64) string) {
	for _, v := range thin {
		p.d.line("grid thin", p.left, p.y.at(v), p.right, p.y.at(v))
	}
	for _, v := range ticks {
		y := p.y.at(v)
		p.d.line("grid", p.left, y, p.right, y)
		p.d.text("tick", "end", p.left-8, y+halfCap, format(v))
	}
}

// xAxis draws the axis with its ticks and numbers, and the text about below it. It leaves out
// numbers that would touch their neighbour or leave the drawing, but not their ticks. If format is
// nil, xAxis draws no numbers, because the panel below has the same axis with numbers.
func (p *panel) xAxis(ticks []float64, format func(float64) string, about string) {
	p.d.line("axis", p.left, p.bottom, p.right, p.bottom)
	taken := math.Inf(-1)
	for _, v := range ticks {
		x := p.x.at(v)
		p.d.line("axis", x, p.bottom, x, p.bottom+4)
		if format == nil {
			continue
		}
		label := format(v)
		half := lengthOf(label) / 2
		if x-half > taken && x+half <= p.d.Width && x-half >= 0 {
			p.d.text("tick", "middle", x, p.bottom+18, label)
			taken = x + half + wordGap
		}
	}
	if about != "" {
		p.d.text("about", "middle", (p.left+p.right)/2, p.bottom+36, about)
	}
}

// A curve is a line through points. It is interrupted at points whose y is NaN.
type curve struct {
	class string
	label string // name of the curve, drawn at its right end in its colour
	xs    []float64
	ys    []float64
}

// draw draws a curve. It draws a point without neighbours as a dot, because a
// line of one point is invisible.
func (p *panel) draw(c curve) {
	var b strings.Builder
	missing := func(i int) bool { return i < 0 || i >= len(c.ys) || math.IsNaN(c.ys[i]) }
	for i := range c.xs {
		if missing(i) {
			continue
		}
		x, y := p.x.at(c.xs[i]), p.y.at(c.ys[i])
		switch {
		case missing(i-1) && missing(i+1):
			p.d.dot(c.class, x, y, 3)
		case missing(i - 1):
			fmt.Fprintf(&b, "M%s %s", num(x), num(y))
		default:
			fmt.Fprintf(&b, "L%s %s", num(x), num(y))
		}
	}
	if b.Len() > 0 {
		p.d.Paths = append(p.d.Paths, path{"curve " + c.class, b.String()})
	}
}

// fill shades the area below a curve. The y axis must begin at zero.
func (p *panel) fill(class string, c curve) {
	var b strings.Builder
	for i := 0; i < len(c.xs); {
		if math.IsNaN(c.ys[i]) {
			i++
			continue
		}
		fmt.Fprintf(&b, "M%s %s", num(p.x.at(c.xs[i])), num(p.bottom))
		for ; i < len(c.xs) && !math.IsNaN(c.ys[i]); i++ {
			fmt.Fprintf(&b, "L%s %s", num(p.x.at(c.xs[i])), num(p.y.at(c.ys[i])))
		}
		fmt.Fprintf(&b, "L%s %sZ", num(p.x.at(c.xs[i-1])), num(p.bottom))
	}
	if b.Len() > 0 {
		p.d.Paths = append(p.d.Paths, path{class, b.String()})
	}
}

// bar draws a bar of a bar chart. It is a path, because rects would be drawn
// below the lines of the grid.
func (p *panel) bar(left, right, y float64) {
	p.d.Paths = append(p.d.Paths, path{"bar", fmt.Sprintf("M%s %sV%sH%sV%sZ", num(left), num(p.bottom), num(y), num(right), num(p.bottom))})
}

// curves draws curves, the last one on top, and puts the name of each curve at its right end. Names
// that would overlap are moved apart. A thin line connects a name to its curve if they are far from
// each other.
func (p *panel) curves(all ...curve) {
	var from, ends []float64 // x and y of the right ends of curves
	var named []curve
	for _, c := range all {
		p.draw(c)
		for i := len(c.ys) - 1; i >= 0 && c.label != ""; i-- {
			if !math.IsNaN(c.ys[i]) {
				from, ends, named = append(from, p.x.at(c.xs[i])), append(ends, p.y.at(c.ys[i])), append(named, c)
				break
			}
		}
	}
	places := spread(ends, lineHeight, p.top+halfCap, p.bottom-halfCap)
	for i, c := range named {
		if p.right-from[i] > 4*nameGap || math.Abs(places[i]-ends[i]) > 3 {
			p.d.line("leader", from[i]+4, ends[i], p.right+nameGap-3, places[i])
		}
		p.d.text("name "+c.class, "start", p.right+nameGap, places[i]+halfCap, c.label)
	}
}

// nameGap is the space between a panel and the names of its curves.
const nameGap = 12.0

// besides returns the right end of a panel that leaves room for these names of
// curves.
func besides(d *drawing, names ...string) float64 { return d.Width - nameGap - longest(names...) - 4 }

// reference draws a horizontal line at v, such as a limit. The label is below
// the line, or above it if there is no room below.
func (p *panel) reference(class, noteClass string, v float64, label string) {
	y := p.y.at(v)
	p.d.line(class, p.left, y, p.right, y)
	place := y + 14
	if p.bottom-y < 22 {
		place = y - 6
	}
	p.d.text("note halo "+noteClass, "end", p.right-4, place, label)
}

// longest returns the width of the longest label.
func longest(labels ...string) float64 {
	most := 0.0
	for _, l := range labels {
		most = max(most, lengthOf(l))
	}
	return most
}

// formatted returns the labels of ticks, which format makes.
func formatted(ticks []float64, format func(float64) string) []string {
	labels := make([]string, len(ticks))
	for i, v := range ticks {
		labels[i] = format(v)
	}
	return labels
}
