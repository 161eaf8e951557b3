package render

import "bytes"

// jsonFormat prints each document as a value of its own, or all of them as one
// array with Options.Many. A document that is an object, or one of many, is
// indented; rows alone are an array with one compact object a line, so that a
// stream reads well, and still is one JSON value.
type jsonFormat struct{ w *Writer }

func (f *jsonFormat) document(d *view) error {
	j := jsonDoc{w: f.w, out: f.w.out, pretty: true}
	if f.w.o.Many {
		if d.first {
			j.out.WriteString("[\n  ")
		} else {
			j.out.WriteString(",\n  ")
		}
		j.depth = 1
	}
	err := j.document(d)
	if !f.w.o.Many {
		j.out.WriteByte('\n')
	}
	return err
}

func (f *jsonFormat) close() error {
	if f.w.o.Many {
		if f.w.docs == 0 {
			f.w.out.WriteByte('[')
		} else {
			f.w.out.WriteByte('\n')
		}
		f.w.out.WriteString("]\n")
	}
	return nil
}

// A buffer is a bufio.Writer or a bytes.Buffer: a place to write to without
// looking at errors.
type buffer interface {
	Write(p []byte) (int, error)
	WriteString(s string) (int, error)
	WriteByte(c byte) error
}

// A jsonDoc writes one document as JSON, pretty or on one line.
type jsonDoc struct {
	w      *Writer
	out    buffer
	pretty bool
	depth  int // of the document itself

	row    []byte // compact
	indent []byte // the same, indented
}

// document writes d, without a newline at the end. Where the rows fail, it
// writes all the rest and returns their error.
func (j *jsonDoc) document(d *view) error {
	if d.rowsOnly() {
		return j.list(d, false)
	}
	n := 0
	next := func() {
		j.separate(n == 0, j.depth+1)
		n++
	}
	j.out.WriteByte('{')
	for _, f := range objectFields(d) {
		next()
		j.member(f.Name, f.Cell.Value)
	}
	var err error
	if d.Rows != nil {
		next()
		name := newMember(d.List)
		j.key(name.plain)
		j.depth++
		err = j.list(d, true)
		j.depth--
	}
	if len(d.Notes) > 0 {
		next()
		notes := make([]any, len(d.Notes))
		for i, s := range d.Notes {
			notes[i] = s
		}
		j.member("notes", notes)
	}
	j.end('}', n)
	return err
}

// objectFields are the members before the list: the fields, and the body.
func objectFields(d *view) []Field {
	fields := make([]Field, 0, len(d.Fields)+1)
	for _, f := range d.Fields {
		if f.Name != "" {
			fields = append(fields, f)
		}
	}
	if d.Body != nil && d.Body.Name != "" {
		fields = append(fields, *d.Body)
	}
	return fields
}

// member writes a name and its value.
func (j *jsonDoc) member(name string, v any) {
	m := newMember(name)
	j.row = m.append(j.row[:0], v)
	key := m.plain
	if !bytes.HasPrefix(j.row, key) {
		key = m.b64
	}
	j.key(key)
	j.value(j.row[len(key):], j.depth+1)
}

// key writes a name with its quotes and colon.
func (j *jsonDoc) key(name []byte) {
	j.out.Write(name)
	if j.pretty {
		j.out.WriteByte(' ')
	}
}

// list writes the rows as an array: one a line, or indented like all else.
func (j *jsonDoc) list(d *view, indent bool) error {
	j.out.WriteByte('[')
	n, names := 0, members(d.cols)
	err := j.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			j.separate(n == 0, j.depth+1)
			j.row = appendRow(j.row[:0], names, d.at, r)
			if indent {
				j.value(j.row, j.depth+1)
			} else {
				j.out.Write(j.row)
			}
			n++
		}
		return nil
	})
	j.end(']', n)
	return err
}

// value writes compact JSON, indented where the document is.
func (j *jsonDoc) value(compact []byte, depth int) {
	if j.pretty && (compact[0] == '{' || compact[0] == '[') {
		j.indent = appendIndented(j.indent[:0], compact, depth)
		compact = j.indent
	}
	j.out.Write(compact)
}

// maxNest is how deep arrays and objects are laid out, in json and yaml. What
// is nested deeper stands on one line: every level indents all that is in it,
// so that 10,000 brackets would print as 200 MB.
const maxNest = 64

// appendIndented writes compact JSON as json.Indent does, down to maxNest.
func appendIndented(b, compact []byte, depth int) []byte {
	nest := 0
	newline := func() {
		b = append(b, '\n')
		for range depth + nest {
			b = append(b, "  "...)
		}
	}
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		switch c {
		case '"':
			n := stringLen(compact[i:])
			b = append(b, compact[i:i+n]...)
			i += n - 1
		case '{', '[':
			b = append(b, c)
			nest++
			if nest <= maxNest && i+1 < len(compact) && compact[i+1] != c+2 { // ASCII: { } and [ ]
				newline()
			}
		case '}', ']':
			nest--
			if nest < maxNest && i > 0 && compact[i-1] != c-2 {
				newline()
			}
			b = append(b, c)
		case ',':
			b = append(b, c)
			if nest <= maxNest {
				newline()
			}
		case ':':
			b = append(b, c)
			if nest <= maxNest {
				b = append(b, ' ')
			}
		default:
			b = append(b, c)
		}
	}
	return b
}

// stringLen is the length of the JSON string that b begins with, quotes
// included.
func stringLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// separate begins an item of an object or array.
func (j *jsonDoc) separate(first bool, depth int) {
	if !first {
		j.out.WriteByte(',')
	}
	j.newline(depth)
}

// end closes an object or array of n items.
func (j *jsonDoc) end(bracket byte, n int) {
	if n > 0 {
		j.newline(j.depth)
	}
	j.out.WriteByte(bracket)
}

func (j *jsonDoc) newline(depth int) {
	if !j.pretty {
		return
	}
	j.out.WriteByte('\n')
	for range depth {
		j.out.WriteString("  ")
	}
}
