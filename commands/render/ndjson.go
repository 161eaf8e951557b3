package render

// ndjson prints one compact JSON value a line: each row where the rows are the
// document, else each document.
type ndjson struct{ w *Writer }

func (f *ndjson) close() error { return nil }

func (f *ndjson) document(d *view) error {
	out := f.w.out
	if !d.rowsOnly() {
		j := jsonDoc{w: f.w, out: out}
		err := j.document(d)
		out.WriteByte('\n')
		return err
	}
	names := members(d.cols)
	var b []byte
	return f.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			b = append(appendRow(b[:0], names, d.at, r), '\n')
			out.Write(b)
		}
		return nil
	})
}
