package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
)

// Longer values are printed as length and digest.
const long = 700

type statement struct{ step, sql string }

var heading = regexp.MustCompile(`^\s*-- (.*)\n`)

// A line `-- name` begins a step, `;` at a line's end ends a statement.
func statements(directory, schema string) []statement {
	files, err := filepath.Glob(directory + "/*.sql")
	must(err)
	sort.Strings(files)
	placeholders := strings.NewReplacer("{schema}", schema, "{other}", schema+"_other")
	var all []statement
	step := ""
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(err)
		for _, sql := range strings.Split(placeholders.Replace(string(text)), ";\n") {
			if found := heading.FindStringSubmatch(sql); found != nil {
				step, sql = found[1], sql[len(found[0]):]
			}
			if sql = strings.TrimSpace(sql); sql != "" {
				all = append(all, statement{step, sql})
			}
		}
	}
	return all
}

// answer is printed with its keys in order, so equal answers are equal lines.
type answer map[string]interface{}

func emit(step string, said answer) {
	line := answer{"step": step}
	for key, value := range said {
		line[key] = value
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	must(encoder.Encode(line))
}

func attempt(step string, err error) {
	if err != nil {
		emit(step, answer{"error": described(err)})
	} else {
		emit(step, answer{"done": true})
	}
}

var host = regexp.MustCompile(`'@'[^']*'`)
var handler = regexp.MustCompile(`handler \(\d+\)`)

// Two parts of errors are nobody's promise: where the client comes from, and a server's number for a handle.
func described(err error) []interface{} {
	var server *mysql.MySQLError
	if !errors.As(err, &server) {
		return []interface{}{"driver", err.Error()}
	}
	message := host.ReplaceAllString(server.Message, "'@'HOST'")
	return []interface{}{server.Number, handler.ReplaceAllString(message, "handler (ID)")}
}

func plain(value interface{}) interface{} {
	switch value := value.(type) {
	case []byte:
		if len(value) > long {
			return digest(value)
		}
		if !utf8.Valid(value) {
			return answer{"bytes": hex.EncodeToString(value)}
		}
		return string(value)
	case time.Time:
		return answer{"time": value.Format(time.RFC3339Nano)}
	case float32, float64, int64:
		return answer{fmt.Sprintf("%T", value): fmt.Sprint(value)}
	}
	return value
}

func digest(data []byte) answer {
	sum := sha256.Sum256(data)
	return answer{"bytes": len(data), "sha256": hex.EncodeToString(sum[:])}
}

// pattern gives bytes that do not repeat in a packet's or a buffer's rhythm.
func pattern(size int) []byte {
	var data []byte
	for n := 0; n < 313; n++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(n)))
		data = append(data, sum[:]...)
	}
	for len(data) < size {
		data = append(data, data...)
	}
	return data[:size]
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
