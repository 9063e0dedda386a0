// What a job file may not hold, found in its tokens before anything is built of them.

import CYaml

/// Aliases can make a short text stand for a huge one, and deep nesting costs stack; no setting needs either.
enum YAMLTokens {
    private static let deepest = 32
    static let mostBytes = 1 << 20

    struct Problem {
        let line: Int
        let text: String
    }

    /// The first thing in `yaml` that is not allowed. What is no YAML at all is left for the parser to report.
    static func problem(in yaml: String) -> Problem? {
        var parser = yaml_parser_t()
        guard yaml_parser_initialize(&parser) == 1 else { return nil }
        defer { yaml_parser_delete(&parser) }
        var text = yaml
        return text.withUTF8 { bytes in
            yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING)
            yaml_parser_set_input_string(&parser, bytes.baseAddress, bytes.count)
            return scan(&parser)
        }
    }

    private static func scan(_ parser: inout yaml_parser_t) -> Problem? {
        var depth = 0
        while true {
            var token = yaml_token_t()
            guard yaml_parser_scan(&parser, &token) == 1 else { return nil }
            defer { yaml_token_delete(&token) }
            let line = Int(clamping: token.start_mark.line) + 1
            switch token.type {
            case YAML_STREAM_END_TOKEN, YAML_NO_TOKEN: return nil
            case YAML_ANCHOR_TOKEN:
                return Problem(line: line, text: "anchors (&name) are not taken; write the value where it is meant")
            case YAML_ALIAS_TOKEN:
                return Problem(
                    line: line,
                    text: "aliases (*name) are not taken; write the value out, in quotation marks if it begins with *")
            case YAML_BLOCK_SEQUENCE_START_TOKEN, YAML_BLOCK_MAPPING_START_TOKEN, YAML_FLOW_SEQUENCE_START_TOKEN,
                YAML_FLOW_MAPPING_START_TOKEN:
                depth += 1
                if depth > deepest {
                    return Problem(line: line, text: "nested deeper than \(deepest) levels; settings have two")
                }
            case YAML_BLOCK_END_TOKEN, YAML_FLOW_SEQUENCE_END_TOKEN, YAML_FLOW_MAPPING_END_TOKEN: depth -= 1
            default: break
            }
        }
    }
}
