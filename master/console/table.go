package console

import (
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/millrace/millrace/storage/arrowfile"
)

const (
	tablePage = 1000    // rows that are laid out together, so that a table of any length takes little memory
	cellMost  = 100     // columns of a terminal that one cell may take however wide it is
	cellLeast = 6       // columns below which a cell is not cut while there is any other way
	cellBytes = 4 << 10 // of a text that are looked at: more than any cell shows
)

// tableRows writes a table page by page. The first page settles the widths; a later one may widen a column.
type tableRows struct {
	out    io.Writer
	schema arrowfile.Schema
	width  int // of the terminal; 0: no limit

	page   [][]string
	widest []int // columns of a terminal that each column wants
	pages  int
	left   int // columns that the last page had no room for
	buf    []byte
}

func (t *tableRows) write(b arrowfile.Batch, rows int) error {
	for row := range rows {
		cells := make([]string, len(t.schema.Fields))
		for i, f := range t.schema.Fields {
			cells[i] = t.cell(f, b.Columns[i], row)
		}
		t.page = append(t.page, cells)
		if len(t.page) == tablePage {
			if err := t.print(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// cell returns a cell's text, safe and not much longer than can be shown.
func (t *tableRows) cell(f arrowfile.Field, c arrowfile.Column, row int) string {
	if c.IsNull(row) {
		return "null"
	}
	if f.Type == arrowfile.TypeString {
		value := c.Raw(row)
		return cut(Line(string(value[:min(len(value), cellBytes)])), cellMost)
	}
	t.buf = arrowfile.AppendText(t.buf[:0], f, c, row)
	return cut(Line(string(t.buf[:min(len(t.buf), cellBytes)])), cellMost)
}

func (t *tableRows) flush() error { return t.print(true) }

// print writes the page that was gathered, with the header on the first one and the closing line on the last one.
func (t *tableRows) print(last bool) error {
	names := make([]string, len(t.schema.Fields))
	for i, f := range t.schema.Fields {
		names[i] = Line(f.Name)
	}
	t.measure(names)
	widths, shown := fit(t.widest, t.stiff(), t.width)
	t.left = len(names) - shown
	w := table.NewWriter()
	w.SetStyle(boxed())
	w.SetColumnConfigs(t.configs(widths[:shown]))
	if t.pages == 0 {
		w.AppendHeader(tableRow(names, widths[:shown], shown < len(names)))
	}
	for _, cells := range t.page {
		w.AppendRow(tableRow(cells, widths[:shown], shown < len(names)))
	}
	page := seam(w.Render(), t.pages == 0, last)
	t.page = t.page[:0]
	t.pages++
	_, err := io.WriteString(t.out, page+"\n")
	return err
}

func (t *tableRows) measure(names []string) {
	if t.widest == nil {
		t.widest = make([]int, len(names))
	}
	for i, name := range names {
		t.widest[i] = max(t.widest[i], min(cellMost, text.StringWidth(name)))
		for _, cells := range t.page {
			t.widest[i] = max(t.widest[i], text.StringWidth(cells[i]))
		}
	}
}

// stiff says which columns hold numbers or times, of which a part says nothing or something wrong.
func (t *tableRows) stiff() []bool {
	out := make([]bool, len(t.schema.Fields))
	for i, f := range t.schema.Fields {
		out[i] = f.Type.Numeric() || f.Type == arrowfile.TypeTimestamp
	}
	return out
}

// configs aligns numbers to the right and keeps a column as wide on every page.
func (t *tableRows) configs(widths []int) []table.ColumnConfig {
	out := make([]table.ColumnConfig, len(widths))
	for i, w := range widths {
		out[i] = table.ColumnConfig{Number: i + 1, WidthMin: w, WidthMax: w, Align: text.AlignLeft, AlignHeader: text.AlignLeft}
		if t.schema.Fields[i].Type.Numeric() {
			out[i].Align, out[i].AlignHeader = text.AlignRight, text.AlignRight
		}
	}
	return out
}

// tableRow cuts cells to their columns' widths; dropped says that columns on the right are left out.
func tableRow(cells []string, widths []int, dropped bool) table.Row {
	row := make(table.Row, 0, len(widths)+1)
	for i, w := range widths {
		row = append(row, cut(cells[i], w))
	}
	if dropped {
		row = append(row, "…")
	}
	return row
}

// boxed has rounded corners, no lines between rows and the columns' names as they are.
func boxed() table.Style {
	s := table.StyleRounded
	s.Format.Header = text.FormatDefault
	return s
}

// seam takes off a page the lines that close it, where another page goes before or follows.
func seam(page string, first, last bool) string {
	if !first {
		_, page, _ = strings.Cut(page, "\n")
	}
	if !last {
		page = page[:strings.LastIndexByte(page, '\n')]
	}
	return page
}

// fit returns how wide each column becomes in a table of at most width, and how many columns are shown at all: the widest
// texts are cut first, then the widest of all, and when all are narrow the last columns are left out.
func fit(widest []int, stiff []bool, width int) (widths []int, shown int) {
	widths = slices.Clone(widest)
	if width <= 0 {
		return widths, len(widths)
	}
	for shown = len(widths); ; shown-- {
		room := width - 1 - 3*shown // a line and two blanks a column, and a last line
		if shown < len(widths) {
			room -= 4 // the column … that stands for those left out
		}
		least := 0
		for _, w := range widths[:shown] {
			least += min(w, cellLeast)
		}
		if least <= room || shown == 1 {
			shrink(widths[:shown], stiff, room, cellLeast)
			shrink(widths[:shown], make([]bool, shown), room, 1)
			return widths, shown
		}
	}
}

// shrink narrows the widest columns but the stiff ones, equally and to no less than least, until all fit into room.
func shrink(widths []int, stiff []bool, room, least int) {
	for {
		sum, widest := 0, -1
		for i, w := range widths {
			sum += w
			if !stiff[i] && w > least && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if sum <= room || widest < 0 {
			return
		}
		widths[widest]--
	}
}
