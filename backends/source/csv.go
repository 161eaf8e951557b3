package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// CSVOptions say how a table is written. The zero value is RFC 4180 with a header.
type CSVOptions struct {
	Comma    byte // between fields; 0: a comma. '\t' for TSV
	NoHeader bool // the columns are called 1, 2, 3 ...
	NoQuotes bool // a quote is a byte like any other, and a record is a line
}

// CSV reads a table of text: the mapping's fields are its columns. A whole row as JSON is
// an object of strings. Empty lines are none. A record whose quotes make no sense loses
// its first line, and reading goes on with the next.
//
// The input may be packed by gzip or zstd. r is at its beginning, and is not closed.
func CSV(r io.Reader, m Mapping, c CSVOptions, o Options) Stream {
	o.complete()
	return func(yield func(Item, error) bool) {
		if c.Comma == 0 {
			c.Comma = ','
		}
		f, err := newFeed(r)
		if err != nil {
			yield(Item{}, err)
			return
		}
		defer f.close()
		t := table{CSVOptions: c, feed: f, mapping: m, options: o}
		if err := t.open(); err != nil {
			yield(Item{}, err)
			return
		}
		for t.next(yield) {
		}
	}
}

// A table is a CSV that is read.
type table struct {
	CSVOptions
	*feed
	mapping Mapping
	options Options
	columns []string
	binding *binding
	cells   []Cell
	keys    keyring
	item    Item // under way
	row     tableRow
	pending []byte // the first row, read to learn how many columns there are
}

// open reads the header, or the first row where there is none, and goes where reading is
// to begin.
func (t *table) open() error {
	if err := t.mapping.Validate(); err != nil {
		return err
	}
	for t.columns == nil {
		raw, err := t.record()
		switch {
		case err == io.EOF && t.trouble() != nil:
			return t.trouble()
		case err == io.EOF && t.NoHeader:
			return nil
		case err == io.EOF:
			return errors.New("an empty input: the first line of a table names its columns")
		case err != nil:
			return fmt.Errorf("the first row (line %d), which says what columns there are: %w", t.count, err)
		case raw == nil:
			continue
		}
		for i, c := range t.cells {
			name := string(c.Text)
			if t.NoHeader {
				name, t.pending = strconv.Itoa(i+1), raw
			}
			t.columns = append(t.columns, name)
		}
	}
	if err := t.bind(); err != nil {
		return err
	}
	if t.pending != nil && t.options.From == (Offset{}) {
		return nil
	}
	t.pending = nil
	return t.resume(t.options.From)
}

func (t *table) bind() (err error) {
	if t.binding, err = t.mapping.bind(t.columns); err != nil && len(t.columns) == 1 && !t.NoHeader {
		err = fmt.Errorf("%w; there is one column only: is the delimiter %q?", err, t.Comma)
	}
	return err
}

// next yields a record, and tells whether to go on.
func (t *table) next(yield func(Item, error) bool) bool {
	it := &t.item
	*it = Item{Line: t.count + 1}
	raw, err := t.pending, error(nil)
	if t.pending = nil; raw == nil {
		raw, err = t.record()
	} else {
		it.Line -= 1 + int64(bytes.Count(raw, []byte{'\n'}))
	}
	if err == io.EOF {
		if err := t.trouble(); err != nil {
			yield(Item{}, err)
		}
		return false
	}
	if raw == nil && err == nil { // an empty line
		return true
	}
	it.Offset = t.offset()
	switch {
	case err != nil:
	case len(t.cells) != len(t.columns):
		err = because("%d columns, and there are to be %d", len(t.cells), len(t.columns))
	default:
		t.row = tableRow{t.columns, t.cells}
		err = t.binding.item(it, t.cells, &t.row, &t.keys, t.options.Now)
	}
	return pass(yield, it, err, raw)
}

// record takes a record and puts its fields into cells. raw is nil for an empty line. The
// error is io.EOF, see trouble, or a reason.
func (t *table) record() (raw []byte, err error) {
	most := t.options.MaxRecord
	end := t.physical(most)
	if end < 0 || t.NoQuotes || bytes.IndexByte(t.buf[t.pos:t.pos+end], '"') < 0 {
		line, long, ok := t.line(most)
		switch {
		case !ok:
			return nil, io.EOF
		case long:
			return line, because("a line of more than %d bytes", most)
		case len(line) == 0:
			return nil, nil
		}
		t.cells = t.cells[:0]
		rest := line
		for {
			i := bytes.IndexByte(rest, t.Comma)
			if i < 0 {
				break
			}
			t.cells, rest = append(t.cells, Cell{Text, rest[:i:i]}), rest[i+1:]
		}
		t.cells = append(t.cells, Cell{Text, rest})
		return line, nil
	}
	return t.quoted(most)
}

// physical is the length of the next line without its LF, reading as far as needed; -1
// where it is above most or reading failed.
func (t *table) physical(most int) int {
	for seen := 0; ; {
		if i := bytes.IndexByte(t.buf[t.pos+seen:], '\n'); i >= 0 {
			return seen + i
		}
		seen = len(t.buf) - t.pos
		if seen > most {
			return -1
		}
		if !t.more() {
			if t.trouble() != nil {
				return -1
			}
			return seen
		}
	}
}

// quoted takes a record that has quotes: it ends with the first line behind which their
// number is even.
func (t *table) quoted(most int) (raw []byte, err error) {
	seen, lines, quotes, whole := 0, int64(0), 0, false
	for !whole && seen <= most {
		i := bytes.IndexByte(t.buf[t.pos+seen:], '\n')
		if i < 0 {
			// Count what is there once: a record may be large, and come in small pieces.
			rest := len(t.buf) - t.pos - seen
			quotes += bytes.Count(t.buf[t.pos+seen:], []byte{'"'})
			seen += rest
			if !t.more() {
				whole = quotes%2 == 0 && t.trouble() == nil
				break
			}
			continue
		}
		quotes += bytes.Count(t.buf[t.pos+seen:t.pos+seen+i], []byte{'"'})
		seen += i + 1
		lines++
		whole = quotes%2 == 0
	}
	if t.trouble() != nil && !whole {
		return nil, io.EOF
	}
	if whole && seen <= most+1 {
		raw = t.buf[t.pos : t.pos+seen : t.pos+seen]
		record := trimCR(bytes.TrimSuffix(raw, []byte{'\n'}))
		if t.cells, err = split(t.cells[:0], record, t.Comma); err == nil {
			if t.take(seen); raw[seen-1] != '\n' {
				lines++
			}
			t.count += lines
			return record, nil
		}
	} else if whole || seen > most {
		err = because("a quote opens a field that does not end within %d bytes", most)
	} else {
		err = reason("a quote opens a field that never ends")
	}
	raw, _, _ = t.line(most)
	return raw, err
}

// split takes a record with quotes apart.
func split(cells []Cell, record []byte, comma byte) ([]Cell, error) {
	for rest := record; ; {
		var text []byte
		if len(rest) > 0 && rest[0] == '"' {
			doubled, end := false, 1
			for {
				i := bytes.IndexByte(rest[end:], '"')
				if i < 0 {
					return cells, because("column %d: a quote opens a field that never ends", len(cells)+1)
				}
				if end += i + 1; end == len(rest) || rest[end] != '"' {
					break
				}
				doubled = true
				end++
			}
			text, rest = rest[1:end-1:end-1], rest[end:]
			if doubled {
				text = bytes.ReplaceAll(text, []byte(`""`), []byte{'"'})
			}
			if len(rest) > 0 && rest[0] != comma {
				return cells, because("column %d: something stands behind the closing quote", len(cells)+1)
			}
		} else {
			end := bytes.IndexByte(rest, comma)
			if end < 0 {
				end = len(rest)
			}
			if text, rest = rest[:end:end], rest[end:]; bytes.IndexByte(text, '"') >= 0 {
				return cells, because(`column %d: a quote inside a field: write the field as "5"" disk", or say that quotes mean nothing`, len(cells)+1)
			}
		}
		cells = append(cells, Cell{Text, text})
		if len(rest) == 0 {
			return cells, nil
		}
		rest = rest[1:]
	}
}
