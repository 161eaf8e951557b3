package render

import (
	"encoding/csv"
	"encoding/json"
	"slices"
)

// csvFormat prints the rows under a line of the columns' Fields, or, where a
// document has no rows, its fields and body as lines of name and value. A
// header is printed once for documents with the same columns. Values are as in
// JSON, but for these: unknown is empty, words are bare, with control
// characters other than newline and tab escaped, and a Binary is quoted by
// Quote, which no other key shares.
type csvFormat struct {
	w      *Writer
	header []string // the last one that was printed
}

func (f *csvFormat) close() error { return nil }

func (f *csvFormat) document(d *view) error {
	out := csv.NewWriter(f.w.out) // which has a buffer, so csv takes no other
	if d.Rows == nil {
		f.begin(out, []string{"name", "value"})
		for _, field := range objectFields(d) {
			f.write(out, field.Name, csvText(field.Cell.Value))
		}
		return nil
	}
	header := make([]string, len(d.cols))
	for i := range d.cols {
		header[i] = d.cols[i].field()
	}
	f.begin(out, header)
	record := make([]string, len(d.at))
	return f.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			for i, j := range d.at {
				record[i] = csvText(r.cell(j).Value)
			}
			f.write(out, record...)
		}
		return nil
	})
}

func (f *csvFormat) begin(out *csv.Writer, header []string) {
	if !slices.Equal(f.header, header) {
		f.write(out, header...)
		f.header = header
	}
}

// write prints a record. One empty value would be a blank line, which readers
// skip: it is printed as two quotes.
func (f *csvFormat) write(out *csv.Writer, record ...string) {
	if len(record) == 1 && record[0] == "" {
		f.w.out.WriteString("\"\"\n")
		return
	}
	out.Write(record) // its errors are the buffer's, which keeps them
}

func csvText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return visible(v, true)
	case *Binary:
		return Quote(string(*v))
	case Binary:
		return Quote(string(v))
	case json.RawMessage:
		if len(v) == 0 {
			return ""
		}
	}
	return string(appendJSON(nil, v))
}
