// How far apart two spellings are, to name the setting or the network a misspelt one was meant for.

/// Insertions, deletions, substitutions and swaps of neighbours that turn one text into the other (Damerau and
/// Levenshtein's distance, each place changed at most once).
package func spellingDistance(_ first: String, _ second: String) -> Int {
    let first = Array(first)
    let second = Array(second)
    var distance = [[Int]](repeating: [Int](repeating: 0, count: second.count + 1), count: first.count + 1)
    for i in 0...first.count {
        for j in 0...second.count {
            if i == 0 || j == 0 {
                distance[i][j] = i + j
                continue
            }
            let substitution = distance[i - 1][j - 1] + (first[i - 1] == second[j - 1] ? 0 : 1)
            var best = min(distance[i - 1][j] + 1, distance[i][j - 1] + 1, substitution)
            if i > 1, j > 1, first[i - 1] == second[j - 2], first[i - 2] == second[j - 1] {
                best = min(best, distance[i - 2][j - 2] + 1)
            }
            distance[i][j] = best
        }
    }
    return distance[first.count][second.count]
}
