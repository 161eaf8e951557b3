package source

import (
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"testing"
)

func tables(m Mapping, c CSVOptions) func(io.Reader, Options) Stream {
	return func(r io.Reader, o Options) Stream { return CSV(r, m, c, o) }
}

func TestCSV(t *testing.T) {
	check(t, "id,name,\"life time\"\n1,Ann,60\r\n\n2,\"B, \"\"b\"\"\nand more\",\r\n3,C,1m\n4,short\n,D,\n5,\"\",x\n\"6\",six,", `
2 string u:1 "Ann" +1m0s
4 string u:2 "B, \"b\"\nand more"
6 string u:3 "C" +1m0s
7 bad "": 2 columns, and there are to be 3
8 bad "": field "id" is empty, and the key needs it
9 bad "u:5": field "life time": a TTL is written as seconds or as "1h30m", not as "x"
10 string u:6 "six"
`, tables(Mapping{Key: "u:{id}", Value: "name", TTL: "life time"}, CSVOptions{}))
	check(t, "id;tags\n1;\"[\"\"a\"\",1]\"\n2;\"a \"\"quote\"\"\"\n", `
2 list 1 a,1,
3 bad "2": field "tags": an array is wanted for a list
`, tables(Mapping{Key: "{id}", Value: "tags", Type: "list"}, CSVOptions{Comma: ';'}))
	check(t, "a\tx \"y\" z\nb\t\xff\t\n\nc\t\n", `
1 string k:a "{\"1\":\"a\",\"2\":\"x \\\"y\\\" z\"}"
2 bad "": 3 columns, and there are to be 2
4 string k:c "{\"1\":\"c\",\"2\":\"\"}"
`, tables(Mapping{Key: "k:{1}"}, CSVOptions{Comma: '\t', NoHeader: true, NoQuotes: true}))
	check(t, "\na,\"x\ny\"\nb,z", `
2 string a "x\ny"
4 string b "z"
`, tables(Mapping{Key: "{1}", Value: "2"}, CSVOptions{NoHeader: true}))
	check(t, "", "", tables(Mapping{Key: "{1}"}, CSVOptions{NoHeader: true}))
	check(t, "id,a\n1,x\n", `
2 hash 1 id=1,a=x,
`, tables(Mapping{Key: "{id}", Type: "hash"}, CSVOptions{}))
}

// TestStrayQuotes: one that makes no sense loses a line, not what follows.
func TestStrayQuotes(t *testing.T) {
	check(t, "id,v\n1,5\" disk\n2,b\n3,\"a\"b\n4,d\n5,\"open\n6,f\n7,g\n", `
2 bad "": column 2: a quote inside a field: write the field as "5"" disk", or say that quotes mean nothing
3 string 2 "b"
4 bad "": column 2: something stands behind the closing quote
5 string 4 "d"
6 bad "": a quote opens a field that never ends
7 string 6 "f"
8 string 7 "g"
`, tables(Mapping{Key: "{id}", Value: "v"}, CSVOptions{}))
}

func TestTablesThatAreNone(t *testing.T) {
	for want, text := range map[string]string{
		"an empty input":                 "",
		"the first line of a table":      "\n\n",
		`no column "v": there are id, w`: "id,w\n1,2\n",
		`is the delimiter ','?`:          "id;v\n1;2\n",
		`two columns are called "v"`:     "id,v,v\n",
		"the first row (line 1), which says what columns there are: a quote opens": "id,\"v\n1,2\n",
		"columns there are: column 1: a quote ":                                    "a\"b\"\n",
	} {
		all := events(CSV(strings.NewReader(text), Mapping{Key: "{id}", Value: "v"}, CSVOptions{}, Options{}))
		if len(all) != 1 || !strings.HasPrefix(all[0].text, "end:") || !strings.Contains(all[0].text, want) {
			t.Errorf("%q: %v", text, all)
		}
	}
	all := events(CSV(strings.NewReader("a,b\n"), Mapping{Key: "{3}"}, CSVOptions{NoHeader: true}, Options{}))
	if len(all) != 1 || all[0].text != `end: no column "3": there are 1, 2` {
		t.Error(all)
	}
}

// FuzzCSV holds tables against encoding/csv, as long as nothing is wrong with them.
func FuzzCSV(f *testing.F) {
	f.Add("a,b\n\"c\"\"\n\",d\r\n\ne,")
	f.Add("\"\",\"\"\n\"x\"y,z\n")
	f.Add("\"open\na\nb")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r") || strings.HasPrefix(text, "\xef\xbb\xbf") || len(text) > 3 && isZstd([]byte(text)) || strings.HasPrefix(text, "\x1f\x8b") {
			return
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		o := Options{}
		o.complete()
		feed, _ := newFeed(strings.NewReader(text))
		tab := table{CSVOptions: CSVOptions{Comma: ','}, feed: feed, options: o}
		var got [][]string
		bad, before := 0, int64(-1)
		for {
			raw, rowErr := tab.record()
			if rowErr == io.EOF {
				break
			}
			if feed.at <= before {
				t.Fatalf("%q: it does not go on", text)
			}
			if before = feed.at; rowErr != nil {
				bad++
			}
			if raw == nil || rowErr != nil {
				continue
			}
			var row []string
			for _, c := range tab.cells {
				row = append(row, string(c.Text))
			}
			got = append(got, row)
		}
		if feed.at != int64(len(text)) || feed.count < int64(strings.Count(text, "\n")) {
			t.Fatalf("%q: read to %d, %d lines", text, feed.at, feed.count)
		}
		if (err != nil) != (bad > 0) {
			t.Fatalf("%q: %d bad records, and encoding/csv says %v", text, bad, err)
		}
		if err == nil && !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("%q: %q, want %q", text, got, want)
		}
	})
}
