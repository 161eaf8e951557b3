package render

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Format is how a document is said.
type Format string

// The formats. The zero Format is Table.
const (
	Table    Format = "table"
	Wide     Format = "wide"
	JSON     Format = "json"
	NDJSON   Format = "ndjson"
	YAML     Format = "yaml"
	CSV      Format = "csv"
	Markdown Format = "markdown"
	Prom     Format = "prom"
)

var formats = []Format{Table, Wide, JSON, NDJSON, YAML, CSV, Markdown, Prom}

// Formats lists what ParseFormat takes, in the order help shows it.
func Formats() []Format { return slices.Clone(formats) }

// ParseFormat reads the value of an output flag. The error is a *UsageError.
func ParseFormat(s string) (Format, error) {
	if slices.Contains(formats, Format(s)) {
		return Format(s), nil
	}
	names := make([]string, len(formats))
	for i, f := range formats {
		names[i] = string(f)
	}
	return "", unknown("output format", s, names)
}

// Options say how to print. The zero Options print a table without header to
// something that is no terminal.
type Options struct {
	Format  Format
	Columns []string // print these, in this order; empty: what the format shows
	JQ      string   // a jq expression; the formats json, ndjson and yaml know it
	JQRaw   bool     // strings that JQ yields print bare, as jq -r does: any byte goes through
	Color   bool     // SGR colours in table and wide
	Width   int      // of the terminal, in cells; 0: unknown, nothing is cut
	Header  bool     // tables begin with the columns' names
	// Context ends a jq expression that does not end by itself. Nil: nothing does.
	Context context.Context
	Many    bool // several documents will come: one array in json; yaml begins each with ---
}

// A UsageError says that what was asked for cannot be had, whatever the cache
// answers.
type UsageError struct{ Message string }

func (e *UsageError) Error() string { return e.Message }

func usagef(format string, args ...any) error {
	return &UsageError{fmt.Sprintf(format, args...)}
}

// Choose tells which of the columns will print, as indices in order: those that
// Columns names, by Name or Field in any case, or else those that the format
// shows. Commands ask it what is worth fetching. In prom, labels always print,
// because rows would be the same without them. The error is a *UsageError.
func (o Options) Choose(columns []Column) ([]int, error) {
	if len(o.Columns) > 0 {
		return o.named(columns)
	}
	forPeople := o.Format == "" || o.Format == Table || o.Format == Markdown
	var at []int
	for i := range columns {
		if (!columns[i].Wide || !forPeople) && (!columns[i].Flat || o.Format == CSV) {
			at = append(at, i)
		}
	}
	return at, nil
}

func (o Options) named(columns []Column) ([]int, error) {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	if len(columns) == 0 {
		return nil, usagef("there are no columns to choose from")
	}
	var at []int
	for _, name := range o.Columns {
		i := slices.IndexFunc(columns, func(c Column) bool {
			return strings.EqualFold(c.Name, name) || strings.EqualFold(c.field(), name)
		})
		if i < 0 {
			return nil, unknown("column", name, names)
		}
		if !slices.Contains(at, i) { // a member twice is no object
			at = append(at, i)
		}
	}
	if o.Format == Prom {
		for i := range columns {
			if columns[i].Label && !slices.Contains(at, i) {
				at = append(at, i)
			}
		}
	}
	return at, nil
}

// unknown is the error for a name that is none of known.
func unknown(what, name string, known []string) error {
	hint := ""
	if n := Nearest(name, known); n != "" {
		hint = fmt.Sprintf(", did you mean %q?", n)
	}
	return usagef("unknown %s %q%s (known: %s)", what, name, hint, strings.Join(known, ", "))
}

// Nearest is the name that a slip of the fingers or a short form may have
// meant, or "".
func Nearest(name string, known []string) string {
	name = strings.ToLower(name)
	best, limit := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < limit && d < max(len(name), len(k)) {
			best, limit = k, d
		}
	}
	if best != "" || len(name) < 2 {
		return best
	}
	for _, k := range known {
		if strings.Contains(k, name) || len(k) > 1 && strings.HasPrefix(name, k) {
			return k
		}
	}
	return ""
}

// distance is how many bytes must be put in, taken out or replaced to turn a
// into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
