package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/cachectl/cachectl/analyze/decode"
	"github.com/cachectl/cachectl/backends"
	"github.com/cachectl/cachectl/commands/render"
)

type getOptions struct {
	target   targetFlag
	output   output
	raw      bool
	all      bool
	quoted   bool
	bytes    string
	elements int64
	window   backends.Window
}

func newGet(env *Env) *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get KEY...",
		Short: "Show one key in full: facts, and the value decoded",
		Long: `Show all that is known of each KEY, and its value, decoded: gzip and zstd are
unwrapped, JSON is laid out, MessagePack becomes JSON, anything else that is not
text is shown in hex.

A big value is shown as a window, its first 64 KiB or 100 elements; --bytes,
--elements and --all change that. --raw prints the bytes of a string and
nothing else. --quoted takes KEY as tables show odd keys: "line\nbreak", "\x00".

Reading does not count as use of the key (CLIENT NO-TOUCH) from Redis 7.2 and
Valkey on; an older server is said to. The server counts the reads as hits; how
many is told. A missing key is named, and the exit status is 4 if others were
there, else 1.`,
		Example: `  cachectl get user:1234:profile
  cachectl get report:big --bytes 1KiB
  cachectl get session:abc --raw | jq .user
  cachectl get --quoted '"line\nbreak"'
  cachectl get cart:77 -o json --jq .ttl_ms`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args) },
	}
	o.target.add(cmd, env)
	o.output.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.raw, "raw", false, "print the bytes of a string, nothing else")
	f.BoolVar(&o.all, "all", false, "read the whole value, however big")
	f.BoolVar(&o.quoted, "quoted", false, "KEY is quoted as in tables")
	f.StringVar(&o.bytes, "bytes", "", "read so much of a string: a `size` such as 1KiB")
	f.Int64Var(&o.elements, "elements", 0, "read so many `elements` of a collection")
	return describe(cmd, "look", impactRead,
		exit{exitFailed, "failed: no such key, no cache answered, or it refused"}, exitsUsage,
		exit{exitPartial, "partial: some keys are missing"}, exitsInterrupted)
}

func (o *getOptions) run(ctx context.Context, env *Env, keys []string) error {
	ro, err := o.parse(ctx, env, keys)
	if err != nil {
		return err
	}
	b, _, err := o.target.open(ctx, env)
	if err != nil {
		return err
	}
	defer b.Close()
	reader, err := backends.As[backends.Reader](b)
	if err != nil {
		return err
	}
	defer tellFootprint(env, b)
	if o.raw {
		return o.printRaw(ctx, env, reader, keys[0])
	}
	lost, shown := newTrouble(env), 0
	err = o.output.render(env, ro, func(w *render.Writer) error {
		for _, key := range keys {
			v, err := reader.Read(ctx, key, o.window)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				lost.add(&backends.ShardError{Shard: render.Quote(key), Err: err})
				continue
			}
			o.tell(env, &v, lost)
			if err := w.Write(valueDoc(&v)); err != nil {
				return err
			}
			shown++
		}
		return nil
	})
	return errors.Join(err, lost.err(shown > 0))
}

// tell says what the look at one key did, and what it could not.
func (o *getOptions) tell(env *Env, v *backends.Value, lost *trouble) {
	for _, n := range v.Notices {
		lost.add(n)
	}
	if v.Touched {
		env.note("reading %s counts as use of it: this server cannot be told otherwise", render.Quote(v.Key))
	}
}

func (o *getOptions) parse(ctx context.Context, env *Env, keys []string) (render.Options, error) {
	ro, err := o.output.options(ctx, env)
	if err != nil {
		return ro, err
	}
	ro.Many = len(keys) > 1
	if o.quoted {
		for i, key := range keys {
			if keys[i], err = render.Unquote(key); err != nil {
				return ro, withHint(usagef("bad quoted key %s: %w", key, err), `write it as tables show it, in single quotes for the shell: '"line\nbreak"'`)
			}
		}
	}
	if o.raw && (len(keys) > 1 || o.output.format != "" || o.output.jq != "") {
		return ro, usagef("--raw prints the bytes of one key: it takes one KEY, and no -o or --jq")
	}
	o.window = backends.Window{Elements: o.elements, All: o.all}
	if o.elements < 0 {
		return ro, usagef("bad --elements %d", o.elements)
	}
	if o.bytes != "" {
		if o.window.Bytes, err = parseSize(o.bytes); err != nil {
			return ro, usagef("bad --bytes: %w", err)
		}
	}
	return ro, nil
}

// printRaw prints the bytes of a string. What would be cut is refused before a
// byte is written, unless a window was asked for.
func (o *getOptions) printRaw(ctx context.Context, env *Env, reader backends.Reader, key string) error {
	v, err := reader.Read(ctx, key, o.window)
	if err != nil {
		return fmt.Errorf("%s: %w", render.Quote(key), err)
	}
	switch {
	case v.Opaque != "":
		return fmt.Errorf("%s: %s", render.Quote(key), v.Opaque)
	case v.Type != "string":
		return withHint(fmt.Errorf("%s: %w: it holds a %s, and --raw needs a string", render.Quote(key), backends.ErrWrongType, v.Type),
			"leave out --raw to see it, or take its elements from -o json")
	case !v.Whole() && o.bytes == "":
		return withHint(fmt.Errorf("%s: the value is %s, more than the window of %s", render.Quote(key), render.Bytes(v.Total).Text, render.Bytes(int64(len(v.Data))).Text),
			"--all reads it whole, --bytes N its beginning")
	}
	o.tell(env, &v, newTrouble(env))
	return o.output.to(env, func(w io.Writer) error {
		_, err := w.Write(v.Data)
		return err
	})
}

// valueDoc says a value: facts, then what it holds.
func valueDoc(v *backends.Value) render.Doc {
	doc := render.Doc{}
	for _, c := range keyColumns {
		if c.Name == "elements" {
			continue
		}
		cell := render.Unknown()
		if v.Have.Has(c.fact) {
			cell = c.cell(&v.Entry)
		} else if !refusedFact(v, c.fact) {
			continue // this kind of cache keeps none: idle time or frequency, encodings
		}
		name := c.Field
		if name == "" {
			name = c.Name
		}
		doc.Fields = append(doc.Fields, render.Field{Name: name, Label: c.Name, Cell: cell})
	}
	for _, d := range v.Details {
		doc.Fields = append(doc.Fields, detailField(d))
	}
	switch {
	case v.Opaque != "":
		doc.Fields = append(doc.Fields, render.Field{Name: "unreadable", Label: "value", Cell: render.Text(v.Opaque)})
	case v.Type == "string":
		stringDoc(v, &doc)
	default:
		collectionDoc(v, &doc)
	}
	return doc
}

// refusedFact tells whether the server has this fact and would not tell.
func refusedFact(v *backends.Value, fact backends.Facts) bool {
	return slices.ContainsFunc(v.Notices, func(n *backends.Notice) bool { return strings.HasPrefix(n.What, fact.String()+" ") })
}

// detailField says what only this kind of cache knows.
func detailField(d backends.Detail) render.Field {
	label := strings.ReplaceAll(strings.TrimSuffix(d.Name, "_bytes"), "_", " ")
	switch value := d.Value.(type) {
	case bool:
		return render.Field{Name: d.Name, Label: label, Cell: render.Bool(value)}
	case int64:
		if strings.HasSuffix(d.Name, "_bytes") {
			return render.Field{Name: d.Name, Label: label, Cell: render.Bytes(value)}
		}
		return render.Field{Name: d.Name, Label: label, Cell: render.Int(value)}
	case uint64: // an identifier, not an amount
		return render.Field{Name: d.Name, Label: label, Cell: render.Cell{Text: strconv.FormatUint(value, 10), Value: value}}
	}
	return render.Field{Name: d.Name, Label: label, Cell: render.Text(fmt.Sprint(d.Value))}
}

func stringDoc(v *backends.Value, doc *render.Doc) {
	length := render.Bytes(v.Total)
	d := decode.Decode(v.Data, decode.Limits{Whole: v.Whole()})
	doc.Fields = append(doc.Fields,
		render.Field{Name: "length_bytes", Label: "length", Cell: length},
		render.Field{Name: "decoded", Cell: steps(d.Steps)},
		render.Field{Name: "whole", Machine: true, Cell: render.Bool(v.Whole() && !d.Cut)},
	)
	if n, ok := decode.HyperLogLog(v.Data); ok && v.Whole() {
		doc.Fields = append(doc.Fields, render.Field{Name: "hyperloglog_count", Label: "distinct", Cell: approximate(n)})
	}
	body := render.Block(d.Text)
	switch {
	case d.JSON != nil:
		body.Value = d.JSON
	case !d.Cut && d.Steps[len(d.Steps)-1] == "text":
		body.Value = render.Binary(d.Text) // what was compressed, too
	case !v.Whole():
		body.Value = render.Binary(wholeRunes(v.Data))
	default:
		body.Value = render.Binary(v.Data)
	}
	doc.Body = &render.Field{Name: "value", Cell: body}
	if !v.Whole() {
		doc.Notes = append(doc.Notes, fmt.Sprintf("the first %s of %s; --all reads it whole", render.Bytes(int64(len(v.Data))).Text, length.Text))
	}
	if d.Cut && v.Whole() {
		doc.Notes = append(doc.Notes, "the decoded value is cut; --raw prints its bytes")
	}
}

// wholeRunes leaves out the beginning of a rune at the end of what else is
// UTF-8: the window cut it, and bytes that are not UTF-8 would be base64. What
// decode takes for text has lost it already.
func wholeRunes(data []byte) []byte {
	for n := 1; n < utf8.UTFMax && n < len(data); n++ {
		if text, tail := data[:len(data)-n], data[len(data)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) && utf8.Valid(text) {
				return text
			}
			break
		}
	}
	return data
}

// approximate marks an estimate for people; machines get the number.
func approximate(n uint64) render.Cell {
	c := render.Uint(n)
	c.Text = "about " + c.Text + " (HyperLogLog, standard error 0.81%)"
	return c
}

func steps(names []string) render.Cell {
	list := make([]any, len(names))
	for i, s := range names {
		list[i] = s
	}
	c := render.Text(strings.Join(names, ", "))
	c.Value = list
	return c
}

// A layout says a type's elements: the columns, and the cells of one.
type layout struct {
	list    string // member in JSON
	columns []render.Column
	row     func(*backends.Element) render.Row
}

var layouts = map[string]layout{
	"list": {"items", []render.Column{{Name: "index", Right: true}, {Name: "value"}},
		func(e *backends.Element) render.Row { return render.Row{render.Int(e.Index), element(e.Value)} }},
	"set": {"members", []render.Column{{Name: "member"}},
		func(e *backends.Element) render.Row { return render.Row{element(e.Value)} }},
	"zset": {"members", []render.Column{{Name: "score", Right: true}, {Name: "member"}},
		func(e *backends.Element) render.Row { return render.Row{score(e.Score), element(e.Value)} }},
	"hash": {"fields", []render.Column{{Name: "field"}, {Name: "value"}, {Name: "ttl", Field: "ttl_ms", Right: true}},
		func(e *backends.Element) render.Row {
			ttl := backends.Entry{TTL: e.TTL}
			return render.Row{render.Key(string(e.Name)), element(e.Value), ttlCell(&ttl)}
		}},
	"stream": {"entries", []render.Column{{Name: "id"}, {Name: "fields"}}, streamRow},
}

func collectionDoc(v *backends.Value, doc *render.Doc) {
	l, ok := layouts[v.Type]
	if !ok {
		return
	}
	doc.Fields = append(doc.Fields,
		render.Field{Name: "length", Cell: render.Int(v.Total)},
		render.Field{Name: "whole", Machine: true, Cell: render.Bool(v.Whole())})
	doc.Columns, doc.List = append([]render.Column{{Name: "key", Flat: true}}, l.columns...), l.list
	doc.Rows = elementRows(v, l)
	if !v.Whole() {
		doc.Notes = append(doc.Notes, fmt.Sprintf("%d of %s; --elements N or --all shows more", len(v.Elements), plural(v.Total, "element")))
	}
}

// elementRows makes the rows as they print: decoded, they take many times the
// memory of the elements.
func elementRows(v *backends.Value, l layout) iter.Seq2[[]render.Row, error] {
	key := render.Key(v.Key)
	return func(yield func([]render.Row, error) bool) {
		const chunk = 1000
		table := make([]render.Row, 0, min(chunk, len(v.Elements)))
		for start := 0; start < len(v.Elements); start += chunk {
			table = table[:0]
			for i := start; i < min(start+chunk, len(v.Elements)); i++ {
				table = append(table, append(render.Row{key}, l.row(&v.Elements[i])...))
			}
			if !yield(table, nil) {
				return
			}
		}
	}
}

// element says one value on one line: JSON compact where it decodes to that,
// text as it is, anything else quoted.
func element(value []byte) render.Cell {
	d := decode.Decode(value, decode.Limits{Bytes: 64 << 10, Whole: true})
	if d.JSON != nil {
		var line strings.Builder
		if compact, err := compactJSON(d.JSON); err == nil {
			line.WriteString(compact)
		}
		c := render.Text(line.String())
		c.Value = d.JSON
		return c
	}
	return render.Key(string(value))
}

func compactJSON(raw json.RawMessage) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(raw) // compacts a RawMessage and keeps its literals
	return strings.TrimSuffix(b.String(), "\n"), err
}

// score prints a score as short as it can be read back. An infinite one, which
// JSON cannot say, is a word to machines.
func score(f float64) render.Cell {
	c := render.Cell{Text: strconv.FormatFloat(f, 'g', -1, 64), Value: f}
	if math.IsInf(f, 0) {
		c.Value = c.Text
	}
	return c
}

func streamRow(e *backends.Element) render.Row {
	var text strings.Builder
	pairs := make([]any, len(e.Pairs))
	for i, p := range e.Pairs {
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(render.Quote(string(p[0])) + "=" + render.Quote(string(p[1])))
		pairs[i] = []any{render.Binary(p[0]), render.Binary(p[1])}
	}
	return render.Row{render.Key(string(e.Name)), {Text: text.String(), Value: pairs}}
}
