// Package render says things: it takes a document of cells and prints it for
// people (table, wide, markdown), for programs (json, ndjson, yaml, csv) or for
// Prometheus (prom). What is worth saying, and in which columns, is the
// command's affair; this package knows nothing about caches, and has no clock,
// no environment and no files. The pipeline:
//
//	Doc -> choose columns -> one format -> a buffer, flushed after every chunk of rows
//
// Rows are a stream. Only prom, whose families must not be torn apart, and a jq
// expression over a whole document hold more of them than the chunk at hand: in
// all else a keyspace of any size prints in constant memory, and a slow stream
// shows as it comes.
//
// Whatever a cell holds, no format lets a terminal escape through: control
// characters arrive as visible text, or as escapes of the format. The one way
// out for raw bytes is Options.JQRaw.
package render

import "iter"

// A Column is one fact about every row.
type Column struct {
	Name   string  // what Options.Columns takes, and the table's header in capitals: "ttl"
	Field  string  // JSON member, CSV header and label name; empty: Name. Fit for a program: "ttl_ms"
	Right  bool    // numbers, mostly: aligned to the right
	Wide   bool    // left out of table and markdown unless it is chosen by name
	Flat   bool    // in csv only, unless it is chosen by name: what the other formats say as a Field
	Label  bool    // tells the row's metrics apart: a label named Field
	Metric *Metric // what the column is to Prometheus; nil: nothing
}

func (c *Column) field() string {
	if c.Field != "" {
		return c.Field
	}
	return c.Name
}

// A Metric is a Prometheus metric family. Name and Type are the caller's to get
// right; two Metrics of one Name are one family with the first one's Help.
type Metric struct {
	Name, Help string
	Type       string // "gauge" or "counter"; empty: "untyped"
}

// A Field is a fact about the whole document.
type Field struct {
	Name    string // member in machine formats; empty: not in those
	Label   string // what people read; empty: Name
	Cell    Cell
	Machine bool    // only in machine formats
	Metric  *Metric // nil: not in prom
}

func (f *Field) label() string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}

// A Row is the cells of one item, in the order of Doc.Columns. Cells that are
// missing at the end are empty for people and null for programs.
type Row []Cell

func (r Row) cell(i int) Cell {
	if i < len(r) {
		return r[i]
	}
	return Cell{}
}

// A Doc is one answer: some facts, perhaps a block of text, perhaps a table.
type Doc struct {
	Fields  []Field
	Body    *Field // a block of text behind the fields; its Cell comes from Block
	Columns []Column

	// Rows brings the table in chunks; each is printed and flushed before the
	// next is asked for, and its memory is the caller's again then. An error
	// ends the document. Nil: there is no table.
	Rows iter.Seq2[[]Row, error]

	// List is the member that holds the rows in json, ndjson and yaml. Where it
	// is empty and there are Rows, the rows alone are the document: Fields,
	// Body and Notes are then for people only.
	List string

	Footer Row      // a total below the table, for people; left out when Rows fails
	Notes  []string // below everything, for people; member "notes" of a document that is an object
}

// rowsOnly tells whether the rows, not an object, are the document.
func (d *Doc) rowsOnly() bool { return d.Rows != nil && d.List == "" }
