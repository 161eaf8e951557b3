package render

import (
	"bufio"
	"fmt"
	"io"
)

// A Writer prints documents in one format. It is not safe for concurrent use.
type Writer struct {
	out  *bufio.Writer
	o    Options
	f    format
	docs int // how many Write has begun

	refused bool // a document, for what the options ask for
}

// A format prints. document prints one: where the rows fail it still leaves
// what is printed well formed, and returns their error. close ends the output.
// Neither minds write errors: the buffer keeps the first one.
type format interface {
	document(d *view) error
	close() error
}

// A view is a document with its columns chosen.
type view struct {
	*Doc
	cols  []Column // those that print
	at    []int    // where each is in a Row
	first bool     // of the documents of this Writer
}

// New returns a Writer that prints to w, through a buffer. The error is a
// *UsageError: a format nobody knows, or a jq expression that does not compile
// or fit the format.
func New(w io.Writer, o Options) (*Writer, error) {
	if o.Format == "" {
		o.Format = Table
	}
	wr := &Writer{out: bufio.NewWriterSize(w, 64<<10), o: o}
	if o.JQ != "" {
		q, err := newQuery(wr)
		wr.f = q
		return wr, err
	}
	switch o.Format {
	case Table, Wide:
		wr.f = &table{w: wr}
	case JSON:
		wr.f = &jsonFormat{w: wr}
	case NDJSON:
		wr.f = &ndjson{w: wr}
	case YAML:
		wr.f = &yamlFormat{w: wr}
	case CSV:
		wr.f = &csvFormat{w: wr}
	case Markdown:
		wr.f = &markdown{w: wr}
	case Prom:
		wr.f = &prom{w: wr}
	default:
		_, err := ParseFormat(string(o.Format))
		return nil, err
	}
	return wr, nil
}

// Write prints d, rows as they come. It returns the error of d.Rows as it is,
// after ending the document in a valid form; an error of the underlying writer
// is wrapped; what the options ask for and d does not have is a *UsageError,
// and nothing of d is printed then. After an error of the writer d.Rows is not
// asked for more.
func (w *Writer) Write(d Doc) error {
	at, err := w.o.Choose(d.Columns)
	if err == nil && w.o.Format == Prom && !hasMetric(&d) {
		err = usagef("this command has no metrics")
	}
	if err != nil {
		w.refused = true
		return err
	}
	v := &view{Doc: &d, at: at, cols: make([]Column, len(at)), first: w.docs == 0}
	for i, j := range at {
		v.cols[i] = d.Columns[j]
	}
	w.docs++
	err = w.f.document(v)
	if failed := w.flush(); err == nil {
		err = failed
	}
	return err
}

// Close ends the output: the array that Many makes in json, and all of prom, is
// printed here. Where every document was refused, nothing is. It does not close
// the underlying writer.
func (w *Writer) Close() error {
	if w.refused && w.docs == 0 {
		return nil
	}
	err := w.f.close()
	if failed := w.flush(); err == nil {
		err = failed
	}
	return err
}

func (w *Writer) flush() error {
	if err := w.out.Flush(); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// chunks hands the rows to do, chunk by chunk, and flushes after each. It ends
// with the rows' first error, or do's.
func (w *Writer) chunks(d *view, do func(rows []Row) error) error {
	if d.Rows == nil {
		return nil
	}
	for rows, err := range d.Rows {
		if len(rows) > 0 {
			failed := do(rows)
			if failed == nil {
				failed = w.flush()
			}
			if err == nil {
				err = failed
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
