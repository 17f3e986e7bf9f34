package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A Table is what a group measured: of each row, in each column, a value for each round.
type Table struct {
	Group   string   `json:"group"`
	Title   string   `json:"title"`
	Head    string   `json:"head"` // of the column in front, which has the rows' names
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	Notes   []string `json:"notes,omitempty"`
}

// A Column is one figure, with its unit in its name.
type Column struct {
	Name   string `json:"name"`
	Digits int    `json:"digits"` // behind the point
}

// A Row is the figures of a subject.
type Row struct {
	Name   string               `json:"name"`
	Values map[string][]float64 `json:"values"` // column → what the rounds measured
}

// Add adds what a round measured.
func (t *Table) Add(row, column string, value float64) {
	at := slices.IndexFunc(t.Rows, func(r Row) bool { return r.Name == row })
	if at < 0 {
		at = len(t.Rows)
		t.Rows = append(t.Rows, Row{Name: row, Values: map[string][]float64{}})
	}
	values := t.Rows[at].Values
	values[column] = append(values[column], value)
}

// Values are what the rounds measured, nil if nothing was.
func (t *Table) Values(row, column string) []float64 {
	for _, r := range t.Rows {
		if r.Name == row {
			return r.Values[column]
		}
	}
	return nil
}

// Note adds a sentence that stands below the table.
func (t *Table) Note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// Write writes the table in Markdown: medians, and in brackets the least and the most of
// the rounds.
func (t *Table) Write(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n| %s |", t.Title, t.Head)
	for _, c := range t.Columns {
		fmt.Fprintf(w, " %s |", c.Name)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(t.Columns)))
	for _, r := range t.Rows {
		fmt.Fprintf(w, "| %s |", r.Name)
		for _, c := range t.Columns {
			fmt.Fprintf(w, " %s |", cell(r.Values[c.Name], c.Digits))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	for _, note := range t.Notes {
		fmt.Fprintf(w, "%s\n\n", note)
	}
}

func cell(values []float64, digits int) string {
	if len(values) == 0 {
		return "–"
	}
	median := Number(Median(values), digits)
	least, most := Number(slices.Min(values), digits), Number(slices.Max(values), digits)
	if least == most {
		return median
	}
	return fmt.Sprintf("%s (%s–%s)", median, least, most)
}

// Number writes a figure as people read it: 12,345.6.
func Number(value float64, digits int) string {
	text := strconv.FormatFloat(value, 'f', digits, 64)
	sign := ""
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = "-", rest
	}
	whole, fraction, _ := strings.Cut(text, ".")
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}
