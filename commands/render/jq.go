package render

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/itchyny/gojq"
)

// A query runs a jq expression over what would have been printed: in json the
// whole output (an array of documents with Options.Many), in ndjson every line,
// in yaml every document. Each result is printed in that format. An expression
// sees no environment, no files and no further input.
type query struct {
	w      *Writer
	code   *gojq.Code
	json   bytes.Buffer // json with Many: the documents
	result int          // printed so far
}

func newQuery(w *Writer) (*query, error) {
	switch w.o.Format {
	case JSON, NDJSON, YAML:
	default:
		return nil, usagef("jq expressions are for the formats json, ndjson and yaml, not %s", w.o.Format)
	}
	parsed, err := gojq.Parse(w.o.JQ)
	if err != nil {
		return nil, usagef("jq expression %q: %v", w.o.JQ, err)
	}
	code, err := gojq.Compile(parsed)
	if err != nil {
		return nil, usagef("jq expression %q: %v", w.o.JQ, err)
	}
	return &query{w: w, code: code}, nil
}

func (q *query) document(d *view) error {
	if q.w.o.Format == NDJSON && d.rowsOnly() {
		return q.lines(d)
	}
	many := q.w.o.Many && q.w.o.Format == JSON
	if !many {
		q.json.Reset()
	} else if q.json.Len() > 0 {
		q.json.WriteByte(',')
	}
	j := jsonDoc{w: q.w, out: &q.json}
	err := j.document(d)
	if many {
		return err
	}
	if failed := q.run(q.json.Bytes()); err == nil {
		err = failed
	}
	return err
}

// lines runs the expression over each row.
func (q *query) lines(d *view) error {
	names := members(d.cols)
	var b []byte
	return q.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			b = appendRow(b[:0], names, d.at, r)
			if err := q.run(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q *query) close() error {
	if !q.w.o.Many || q.w.o.Format != JSON {
		return nil
	}
	return q.run([]byte("[" + q.json.String() + "]"))
}

// run prints what the expression makes of one JSON value.
func (q *query) run(input []byte) error {
	dec := json.NewDecoder(bytes.NewReader(input))
	dec.UseNumber() // big integers stay exact
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("jq expression %q: %w", q.w.o.JQ, err)
	}
	ctx := q.w.o.Context
	if ctx == nil {
		ctx = context.Background()
	}
	results := q.code.RunWithContext(ctx, v)
	for {
		v, ok := results.Next()
		if !ok {
			return nil
		}
		if err, ok := v.(error); ok {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			var halt *gojq.HaltError
			if errors.As(err, &halt) && halt.Value() == nil { // "halt" is a plain end
				return nil
			}
			return fmt.Errorf("jq expression %q: %w", q.w.o.JQ, err)
		}
		if err := q.print(v); err != nil {
			return err
		}
	}
}

func (q *query) print(v any) error {
	out := q.w.out
	q.result++
	if s, ok := v.(string); ok && q.w.o.JQRaw {
		out.WriteString(s)
		out.WriteByte('\n')
		return q.failed()
	}
	b := appendJSON(nil, v)
	switch q.w.o.Format {
	case JSON:
		j := jsonDoc{out: out, pretty: true}
		j.value(b, 0)
		out.WriteByte('\n')
	case NDJSON:
		out.Write(b)
		out.WriteByte('\n')
	case YAML:
		b, err := marshalYAML(b)
		if err != nil {
			return err
		}
		if q.result > 1 {
			out.WriteString("---\n")
		}
		out.Write(b)
	}
	return q.failed()
}

// failed is the buffer's error, so that an endless expression ends with its reader.
func (q *query) failed() error {
	if _, err := q.w.out.Write(nil); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
