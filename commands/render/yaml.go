package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// yamlFormat prints the data of json, in its order, in block style; the rows as
// they come. With Options.Many each document begins with a line of ---.
//
// Every value passes through JSON, so the two cannot differ.
type yamlFormat struct{ w *Writer }

func (f *yamlFormat) close() error { return nil }

func (f *yamlFormat) document(d *view) error {
	out := f.w.out
	if f.w.o.Many || !d.first {
		out.WriteString("---\n")
	}
	if d.rowsOnly() {
		return f.rows(d, "")
	}
	n := 0
	for _, field := range objectFields(d) {
		if err := f.member(field.Name, field.Cell.Value); err != nil {
			return err
		}
		n++
	}
	var err error
	if d.Rows != nil {
		err = f.rows(d, d.List)
		n++
	}
	if len(d.Notes) > 0 {
		notes := make([]any, len(d.Notes))
		for i, s := range d.Notes {
			notes[i] = s
		}
		if failed := f.member("notes", notes); err == nil {
			err = failed
		}
		n++
	}
	if n == 0 {
		out.WriteString("{}\n")
	}
	return err
}

// member prints a mapping of one member: the next one goes right below it.
func (f *yamlFormat) member(name string, v any) error {
	m := newMember(name)
	return f.json(append(m.append([]byte{'{'}, v), '}'))
}

// rows prints a sequence chunk by chunk, as the member name if there is one.
// An item is at the margin in both cases, as YAML allows.
func (f *yamlFormat) rows(d *view, name string) error {
	out, names, n := f.w.out, members(d.cols), 0
	head := ""
	if name != "" {
		b, err := marshalYAML(append(appendString([]byte{'{'}, name), ":[]}"...))
		if err != nil {
			return err
		}
		head = strings.TrimSuffix(string(b), " []\n")
	}
	var b []byte
	err := f.w.chunks(d, func(rows []Row) error {
		b = append(b[:0], '[')
		for i, r := range rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendRow(b, names, d.at, r)
		}
		if n == 0 && name != "" {
			out.WriteString(head + "\n")
		}
		n += len(rows)
		return f.json(append(b, ']'))
	})
	switch {
	case n == 0 && name != "":
		out.WriteString(head + " []\n")
	case n == 0:
		out.WriteString("[]\n")
	}
	return err
}

func (f *yamlFormat) json(b []byte) error {
	b, err := marshalYAML(b)
	f.w.out.Write(b)
	return err
}

// marshalYAML turns JSON into YAML in block style.
func marshalYAML(b []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	node, err := yamlNode(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(node); err != nil {
		return nil, fmt.Errorf("write yaml: %w", err)
	}
	return escapeYAML(out.Bytes()), nil
}

// escapeYAML escapes what the encoder takes for printable and a terminal does
// not: it is in double quotes, by yamlString.
func escapeYAML(b []byte) []byte {
	if hidden(string(b), true) < 0 {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if isHidden(r) && r != '\n' && r != '\t' {
			out = appendU(out, r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// yamlNode reads the next JSON value, which is in so many arrays and objects.
func yamlNode(dec *json.Decoder, nest int) (*yaml.Node, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		if nest >= maxNest {
			n.Style = yaml.FlowStyle
		}
		for dec.More() {
			item, err := yamlNode(dec, nest+1) // a name is a value here
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err := dec.Token()
		return n, err
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: fmt.Sprint(t)}, nil
	case string:
		return yamlString(t), nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// yamlString picks the literal style for text of several lines where that keeps
// every byte, and double quotes for what must be escaped and for what only YAML
// 1.1 takes for something else than a string. The rest is left to the encoder.
func yamlString(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	lines := strings.Contains(s, "\n")
	switch {
	case hidden(s, lines) >= 0:
		n.Style = yaml.DoubleQuotedStyle
	case lines && s[0] > ' ' && !strings.Contains(s, " \n") && !strings.Contains(s, "\t"):
		n.Style = yaml.LiteralStyle
	case lines, isYAML11(s):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// yaml11 matches the plain scalars that a parser of YAML 1.1 (PyYAML, libyaml,
// Ruby) reads as a boolean, null, number, timestamp, merge or default key, by
// the types' pages at yaml.org/type and PyYAML's resolver.py, or fails on
// ("0x_", "2001-99-99"). It may match more: quotes do no harm.
var yaml11 = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|~|=|<<` +
	`|[-+]?\.(inf|nan)` +
	`|[-+]?0[bx][0-9a-f_]*` +
	`|[-+]?([0-9][0-9_]*|[0-9_]*\.[0-9_]*)(e[-+]?[0-9]*)?` +
	`|[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?` +
	`|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(([t]|[ \t]+)[0-9]{1,2}:[0-9:. \tz+-]*)?)$`)

func isYAML11(s string) bool {
	return s != "" && strings.IndexByte("+-.0123456789_=<~yYnNoOtTfF", s[0]) >= 0 && yaml11.MatchString(s)
}
