package render

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// prom prints Prometheus' text exposition format 0.0.4: every field and cell
// that has a Metric and is known, as a sample with the row's labels. Families
// must not be torn apart, so all of it is kept, and printed by Close. A series
// that comes twice is an error, because Prometheus refuses the whole then; the
// first one stays.
type prom struct {
	w        *Writer
	families []*family
	byName   map[string]*family
	seen     map[string]bool
}

type family struct {
	Metric
	samples strings.Builder
}

func hasMetric(d *Doc) bool {
	for i := range d.Fields {
		if d.Fields[i].Metric != nil {
			return true
		}
	}
	for i := range d.Columns {
		if d.Columns[i].Metric != nil {
			return true
		}
	}
	return false
}

func (f *prom) document(d *view) error {
	var errs []error
	for i := range d.Fields {
		if m := d.Fields[i].Metric; m != nil {
			errs = append(errs, f.add(m, "", d.Fields[i].Cell.Value))
		}
	}
	for i := range d.cols { // a family without samples is still told of
		if m := d.cols[i].Metric; m != nil {
			f.family(m)
		}
	}
	err := f.w.chunks(d, func(rows []Row) error {
		for _, r := range rows {
			labels := promLabels(d, r)
			for i, j := range d.at {
				if m := d.cols[i].Metric; m != nil {
					if err := f.add(m, labels, r.cell(j).Value); err != nil && len(errs) < 10 {
						errs = append(errs, err)
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return errors.Join(errs...)
}

func (f *prom) family(m *Metric) *family {
	if fam := f.byName[m.Name]; fam != nil {
		return fam
	}
	if f.byName == nil {
		f.byName, f.seen = map[string]*family{}, map[string]bool{}
	}
	fam := &family{Metric: *m}
	f.byName[m.Name] = fam
	f.families = append(f.families, fam)
	return fam
}

func (f *prom) add(m *Metric, labels string, v any) error {
	fam := f.family(m)
	value := promValue(v)
	if value == "" {
		return nil
	}
	series := m.Name + labels
	if f.seen[series] {
		return fmt.Errorf("metric %s comes twice", series)
	}
	f.seen[series] = true
	fam.samples.WriteString(series + " " + value + "\n")
	return nil
}

func (f *prom) close() error {
	out := f.w.out
	for _, fam := range f.families {
		if fam.samples.Len() == 0 {
			continue
		}
		if fam.Help != "" {
			help := strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(visible(fam.Help, true))
			out.WriteString("# HELP " + fam.Name + " " + help + "\n")
		}
		kind := fam.Type
		if kind == "" {
			kind = "untyped"
		}
		out.WriteString("# TYPE " + fam.Name + " " + kind + "\n")
		out.WriteString(fam.samples.String())
	}
	return nil
}

// promLabels is the row's {name="value",...}, or "" if it has none.
func promLabels(d *view, r Row) string {
	var b strings.Builder
	for i, j := range d.at {
		if !d.cols[i].Label {
			continue
		}
		text := promText(r.cell(j).Value)
		if text == "" { // the same as no label, says Prometheus
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('{')
		} else {
			b.WriteByte(',')
		}
		b.WriteString(d.cols[i].field() + `="` + promEscape.Replace(text) + `"`)
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteByte('}')
	return b.String()
}

var promEscape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// promText is a label's value: the words or the bytes themselves, but quoted
// by Quote where they are not UTF-8, hold control characters, or are the empty
// key, which would be no label.
func promText(v any) string {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case *Binary:
		return promText(*v)
	case Binary:
		if v == "" {
			return Quote("")
		}
		s = string(v)
	default:
		return csvText(v)
	}
	if !utf8.ValidString(s) || hidden(s, true) >= 0 {
		return Quote(s)
	}
	return s
}

// promValue is a sample's value; "" for what is no number.
func promValue(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "1"
		}
		return "0"
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64:
		if finite(v) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return ""
}
