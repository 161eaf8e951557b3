package source

import (
	"fmt"
	"strings"
)

// A Template makes a key from the fields of a row: "user:{id}:profile". {a.b} is the
// field b in the object a, where no field is called "a.b"; {{ and }} are braces
// themselves.
type Template struct {
	parts []part
}

// A part is literal text, or a field.
type part struct {
	text  string
	field string // empty: literal
}

const templateForm = `write it as "user:{id}:profile", where id is a field, and a brace itself as {{ or }}`

// ParseTemplate reads a template. One without any field is an error: all rows would have
// one key.
func ParseTemplate(text string) (*Template, error) {
	bad := func(why string, args ...any) error {
		return fmt.Errorf("key template %q: %s; %s", text, fmt.Sprintf(why, args...), templateForm)
	}
	t := &Template{}
	var literal strings.Builder
	for rest := text; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			literal.WriteString(rest)
			break
		}
		literal.WriteString(rest[:i])
		brace := rest[i]
		if rest = rest[i+1:]; rest != "" && rest[0] == brace {
			literal.WriteByte(brace)
			rest = rest[1:]
			continue
		}
		if brace == '}' {
			return nil, bad(`a "}" without its "{"`)
		}
		end := strings.IndexAny(rest, "{}")
		if end < 0 || rest[end] == '{' {
			return nil, bad(`a "{" without its "}"`)
		}
		field := rest[:end]
		if strings.TrimSpace(field) != field || field == "" {
			return nil, bad("the field %q has no name", field)
		}
		if literal.Len() > 0 {
			t.parts = append(t.parts, part{text: literal.String()})
			literal.Reset()
		}
		t.parts = append(t.parts, part{field: field})
		rest = rest[end+1:]
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{text: literal.String()})
	}
	if len(t.Fields()) == 0 {
		return nil, bad("it has no field, so that all rows would have one key")
	}
	return t, nil
}

// Fields are the names of the fields, in their order.
func (t *Template) Fields() (names []string) {
	for _, p := range t.parts {
		if p.field != "" {
			names = append(names, p.field)
		}
	}
	return names
}
