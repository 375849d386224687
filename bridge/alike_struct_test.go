package bridge

import (
	"encoding/json"
	"reflect"
)

// typed is how a Go program that has structs for what it expects reads a
// message: names in any case, and the last of two. What arguments are called is
// for the tool to say, so a rule about them has to ignore case.
type typed struct {
	JSONRPC any `json:"jsonrpc"`
	ID      any `json:"id"`
	Method  any `json:"method"`
	Params  struct {
		Name          any `json:"name"`
		Arguments     any `json:"arguments"`
		Meta          any `json:"_meta"`
		RequestID     any `json:"requestId"`
		ProgressToken any `json:"progressToken"`
		Messages      any `json:"messages"`
	} `json:"params"`
	Result struct {
		Content []struct {
			Type any `json:"type"`
			Text any `json:"text"`
		} `json:"content"`
		Tools []struct {
			Name        any `json:"name"`
			Description any `json:"description"`
		} `json:"tools"`
		StructuredContent any `json:"structuredContent"`
		NextCursor        any `json:"nextCursor"`
		TaskID            any `json:"taskId"`
	} `json:"result"`
	Error struct {
		Code    any `json:"code"`
		Message any `json:"message"`
		Data    any `json:"data"`
	} `json:"error"`
}

// readStruct reads a line into structs. If they hold what stands under exactly
// their names, it has read the line as readAny does.
func readStruct(line []byte) (string, error) {
	v, err := generic(line)
	if err != nil {
		return "", err
	}
	var got, want typed
	if err := json.Unmarshal(line, &got); err != nil {
		return reading(v), nil // of another shape than these structs
	}
	if method, ok := got.Method.(string); ok && !ofProtocol(method) {
		return reading(v), nil // an extension has structs of its own
	}
	exact(reflect.ValueOf(&want).Elem(), v)
	if !reflect.DeepEqual(got, want) {
		text, err := json.Marshal(got)
		return "struct " + string(text), err
	}
	return reading(v), nil
}

// exact fills a struct with the members that have the very names of its fields.
func exact(to reflect.Value, from any) {
	switch to.Kind() {
	case reflect.Interface:
		if from != nil {
			to.Set(reflect.ValueOf(from))
		}
	case reflect.Slice:
		list, _ := from.([]any)
		if list == nil {
			return
		}
		to.Set(reflect.MakeSlice(to.Type(), len(list), len(list)))
		for i, e := range list {
			exact(to.Index(i), e)
		}
	case reflect.Struct:
		members, _ := from.(map[string]any)
		for i := range to.NumField() {
			name := to.Type().Field(i).Tag.Get("json")
			exact(to.Field(i), members[name])
		}
	}
}
