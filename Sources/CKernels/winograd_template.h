// The transforms of one pair of schemes: included once for each, with VERTICAL and HORIZONTAL the names of its schemes
// and PAIR its own. Each transform works on sixteen channels of one tile: along one axis from memory into `middle`,
// then along the other from there. Which axis comes first makes no difference to the result but for rounding.
#define WINOGRAD_JOIN4_(a, b, c, d) a##b##c##d
#define WINOGRAD_JOIN4(a, b, c, d) WINOGRAD_JOIN4_(a, b, c, d)
#define V(what) WINOGRAD_JOIN4(winograd_, VERTICAL, _, what)
#define H(what) WINOGRAD_JOIN4(winograd_, HORIZONTAL, _, what)
#define NAME(what) WINOGRAD_JOIN4(winograd_, PAIR, _, what)
#define EACH _Pragma("clang loop unroll(full)") for

/// Products of one tile whose first pixel lies at x + origin (perhaps outside the map); of the tile, rows
/// [top, bottom) and columns [left, right) lie inside the map. `edge` and `lanes` are constants where it is inlined.
ENGINE_INLINE void NAME(input_tile)(const float *x, ptrdiff_t origin, ptrdiff_t x_stride, ptrdiff_t row_stride,
                                    int edge, int lanes, int top, int bottom, int left, int right, winograd_norm norm,
                                    float *v, ptrdiff_t product_stride) {
    lanes16 middle[V(products)][H(extent)];
    for (int j = 0; j < H(extent); j++) {
        lanes16 in[V(extent)], out[V(products)];
        if (edge && (j < left || j >= right)) {
            EACH(int p = 0; p < V(products); p++) middle[p][j] = (lanes16){0};
            continue;
        }
        EACH(int i = 0; i < V(extent); i++)
            in[i] = edge && (i < top || i >= bottom)
                        ? (lanes16){0}
                        : winograd_normalised(winograd_load(x + (origin + i * row_stride + j * x_stride), lanes), norm);
        V(input)(in, out);
        EACH(int p = 0; p < V(products); p++) middle[p][j] = out[p];
    }
    for (int p = 0; p < V(products); p++) {
        lanes16 out[H(products)];
        H(input)(middle[p], out);
        EACH(int q = 0; q < H(products); q++)
            winograd_store(v + (p * H(products) + q) * product_stride, out[q], 16);
    }
}

ENGINE_CLONES
void NAME(input)(const winograd_map *map, const float *x, ptrdiff_t x_stride, int channels, const float *scale,
                 const float *shift, float floor, size_t first_line, size_t lines, float *v, ptrdiff_t product_stride,
                 ptrdiff_t tile_stride) {
    const winograd_map m = *map;
    const ptrdiff_t row_stride = m.input_width * x_stride;
    for (size_t line = first_line; line < first_line + lines; line++) {
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)m.lines);
        const int y = (int)(line % (size_t)m.lines) * V(step) - m.padding_height;
        const int top = engine_max(0, -y), bottom = engine_min(V(extent), m.input_height - y);
        for (int column = 0; column < m.columns; column++, v += tile_stride) {
            const int x0 = column * H(step) - m.padding_width;
            const int left = engine_max(0, -x0), right = engine_min(H(extent), m.input_width - x0);
            const int edge = top > 0 || left > 0 || bottom < V(extent) || right < H(extent);
            const ptrdiff_t origin = (image * m.input_height + y) * row_stride + x0 * x_stride;
            for (int c = 0; c < channels; c += 16) {
                const int lanes = engine_min(16, channels - c);
                const winograd_norm norm = winograd_norm_at(scale, shift, floor, c, lanes);
                if (lanes < 16)
                    NAME(input_tile)(x, origin + c, x_stride, row_stride, 1, lanes, top, bottom, left, right, norm,
                                     v + c, product_stride);
                else if (edge)
                    NAME(input_tile)(x, origin + c, x_stride, row_stride, 1, 16, top, bottom, left, right, norm, v + c,
                                     product_stride);
                else
                    NAME(input_tile)(x, origin + c, x_stride, row_stride, 0, 16, top, bottom, left, right, norm, v + c,
                                     product_stride);
            }
        }
    }
}

/// Outputs of one tile, of which `rows` x `columns` lie inside the map.
ENGINE_INLINE void NAME(output_tile)(float *y, ptrdiff_t y_stride, ptrdiff_t row_stride, int lanes, int rows,
                                     int columns, const float *bias, float floor, const float *m,
                                     ptrdiff_t product_stride) {
    lanes16 middle[V(products)][H(outputs)];
    for (int p = 0; p < V(products); p++) {
        lanes16 in[H(products)];
        EACH(int q = 0; q < H(products); q++) in[q] =
            winograd_load(m + (p * H(products) + q) * product_stride, 16);
        H(output)(in, middle[p]);
    }
    const lanes16 offset = bias ? winograd_load(bias, lanes) : (lanes16){0};
    for (int j = 0; j < H(outputs); j++) {
        if (j >= columns) break;
        lanes16 in[V(products)], out[V(outputs)];
        EACH(int p = 0; p < V(products); p++) in[p] = middle[p][j];
        V(output)(in, out);
        EACH(int i = 0; i < V(outputs); i++) {
            if (i < rows) {
                float *to = y + i * row_stride + j * y_stride;
                if (bias) out[i] = winograd_at_least(out[i] + offset, (lanes16){0} + floor);
                winograd_store(to, out[i], lanes);
            }
        }
    }
}

ENGINE_CLONES
void NAME(output)(const winograd_map *map, float *y, ptrdiff_t y_stride, int channels, const float *bias,
                  float floor, size_t first_line, size_t lines, const float *m, ptrdiff_t product_stride,
                  ptrdiff_t tile_stride) {
    const winograd_map s = *map;
    const ptrdiff_t row_stride = s.output_width * y_stride;
    for (size_t line = first_line; line < first_line + lines; line++) {
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)s.lines);
        const int top = (int)(line % (size_t)s.lines) * V(outputs), rows = s.output_height - top;
        float *to = y + (image * s.output_height + top) * row_stride;
        for (int column = 0; column < s.columns; column++, m += tile_stride, to += H(outputs) * y_stride) {
            const int columns = s.output_width - column * H(outputs);
            for (int c = 0; c < channels; c += 16) {
                const int lanes = engine_min(16, channels - c);
                const float *offset = bias ? bias + c : NULL;
                if (lanes == 16)
                    NAME(output_tile)(to + c, y_stride, row_stride, 16, rows, columns, offset, floor, m + c,
                                      product_stride);
                else
                    NAME(output_tile)(to + c, y_stride, row_stride, lanes, rows, columns, offset, floor, m + c,
                                      product_stride);
            }
        }
    }
}

/// Adjoint of output_tile; `x` is the norm's map, NULL without one, and channel `c` the first of y's and x's.
ENGINE_INLINE void NAME(output_gradient_tile)(const float *y, ptrdiff_t y_stride, ptrdiff_t row_stride, int lanes,
                                              int rows, int columns, const winograd_gradient_norm *norm,
                                              const float *x, int c, float *m, ptrdiff_t product_stride) {
    const winograd_slopes slopes = x ? winograd_slopes_at(norm, c, lanes) : (winograd_slopes){0};
    const ptrdiff_t x_stride = x ? norm->x_stride : 0, x_row = x ? row_stride / y_stride * x_stride : 0;
    lanes16 middle[V(products)][H(outputs)];
    for (int j = 0; j < H(outputs); j++) {
        lanes16 in[V(outputs)], out[V(products)];
        if (j >= columns) {
            EACH(int p = 0; p < V(products); p++) middle[p][j] = (lanes16){0};
            continue;
        }
        EACH(int i = 0; i < V(outputs); i++) {
            in[i] = (lanes16){0};
            if (i >= rows) continue;
            in[i] = winograd_load(y + i * row_stride + j * y_stride, lanes);
            if (x) in[i] = winograd_sloped(in[i], winograd_load(x + i * x_row + j * x_stride, lanes), slopes);
        }
        V(output_adjoint)(in, out);
        EACH(int p = 0; p < V(products); p++) middle[p][j] = out[p];
    }
    for (int p = 0; p < V(products); p++) {
        lanes16 out[H(products)];
        H(output_adjoint)(middle[p], out);
        EACH(int q = 0; q < H(products); q++)
            winograd_store(m + (p * H(products) + q) * product_stride, out[q], 16);
    }
}

ENGINE_CLONES
void NAME(output_gradient)(const winograd_map *map, const float *y, ptrdiff_t y_stride, int channels,
                           const winograd_gradient_norm *norm, size_t first_line, size_t lines, float *m,
                           ptrdiff_t product_stride, ptrdiff_t tile_stride) {
    const winograd_map s = *map;
    const ptrdiff_t row_stride = s.output_width * y_stride;
    for (size_t line = first_line; line < first_line + lines; line++) {
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)s.lines);
        const int top = (int)(line % (size_t)s.lines) * V(outputs), rows = s.output_height - top;
        for (int column = 0; column < s.columns; column++, m += tile_stride) {
            const int columns = s.output_width - column * H(outputs);
            const ptrdiff_t pixel = (image * s.output_height + top) * s.output_width + column * H(outputs);
            const float *from = y + pixel * y_stride, *x = norm ? norm->x + pixel * norm->x_stride : NULL;
            for (int c = 0; c < channels; c += 16) {
                const int lanes = engine_min(16, channels - c);
                if (lanes < 16)
                    NAME(output_gradient_tile)(from + c, y_stride, row_stride, lanes, rows, columns, norm,
                                               x ? x + c : NULL, c, m + c, product_stride);
                else if (x)
                    NAME(output_gradient_tile)(from + c, y_stride, row_stride, 16, rows, columns, norm, x + c, c,
                                               m + c, product_stride);
                else
                    NAME(output_gradient_tile)(from + c, y_stride, row_stride, 16, rows, columns, NULL, NULL, c,
                                               m + c, product_stride);
            }
        }
    }
}

/// Adjoint of input_tile; rows below `add_rows` and columns below `add_columns` were written before.
ENGINE_INLINE void NAME(input_gradient_tile)(float *x, ptrdiff_t origin, ptrdiff_t x_stride, ptrdiff_t row_stride,
                                             int lanes, int top, int bottom, int left, int right, int add_rows,
                                             int add_columns, const float *v, ptrdiff_t product_stride) {
    lanes16 middle[V(products)][H(extent)];
    for (int p = 0; p < V(products); p++) {
        lanes16 in[H(products)];
        EACH(int q = 0; q < H(products); q++) in[q] =
            winograd_load(v + (p * H(products) + q) * product_stride, 16);
        H(input_adjoint)(in, middle[p]);
    }
    for (int j = left; j < right; j++) {
        lanes16 in[V(products)], out[V(extent)];
        EACH(int p = 0; p < V(products); p++) in[p] = middle[p][j];
        V(input_adjoint)(in, out);
        EACH(int i = 0; i < V(extent); i++) {
            if (i >= top && i < bottom) {
                float *to = x + (origin + i * row_stride + j * x_stride);
                if (i < add_rows || j < add_columns) out[i] += winograd_load(to, lanes);
                winograd_store(to, out[i], lanes);
            }
        }
    }
}

ENGINE_CLONES
void NAME(input_gradient)(const winograd_map *map, float *x, ptrdiff_t x_stride, int channels, int accumulate,
                          size_t first_line, size_t lines, const float *v, ptrdiff_t product_stride,
                          ptrdiff_t tile_stride) {
    const winograd_map m = *map;
    const ptrdiff_t row_stride = m.input_width * x_stride;
    for (size_t line = first_line; line < first_line + lines; line++) {
        const ptrdiff_t image = (ptrdiff_t)(line / (size_t)m.lines);
        const int y = (int)(line % (size_t)m.lines) * V(step) - m.padding_height;
        const int top = engine_max(0, -y), bottom = engine_min(V(extent), m.input_height - y);
        const int first_of_image = y == -m.padding_height;
        const int add_rows = accumulate ? V(extent) : (first_of_image ? 0 : V(extent) - V(step));
        for (int column = 0; column < m.columns; column++, v += tile_stride) {
            const int x0 = column * H(step) - m.padding_width;
            const int left = engine_max(0, -x0), right = engine_min(H(extent), m.input_width - x0);
            const int add_columns = column == 0 ? 0 : H(extent) - H(step);
            const ptrdiff_t origin = (image * m.input_height + y) * row_stride + x0 * x_stride;
            int c = 0;
            for (; c + 16 <= channels; c += 16)
                NAME(input_gradient_tile)(x, origin + c, x_stride, row_stride, 16, top, bottom, left, right, add_rows,
                                          add_columns, v + c, product_stride);
            if (c < channels)
                NAME(input_gradient_tile)(x, origin + c, x_stride, row_stride, channels - c, top, bottom, left, right,
                                          add_rows, add_columns, v + c, product_stride);
        }
    }
}

/// Weights of `lanes` neighbouring columns of one row.
ENGINE_INLINE void NAME(weights_of)(const float *taps, ptrdiff_t column_stride, int lanes, float *out,
                                    ptrdiff_t slot_stride) {
    lanes16 middle[V(weights)][H(taps)];
    for (int x = 0; x < H(taps); x++) {
        lanes16 in[V(taps)], weights[V(weights)];
        EACH(int y = 0; y < V(taps); y++) in[y] = winograd_collect(taps + y * H(taps) + x, column_stride, lanes);
        V(weight)(in, weights);
        EACH(int s = 0; s < V(weights); s++) middle[s][x] = weights[s];
    }
    for (int s = 0; s < V(weights); s++) {
        lanes16 weights[H(weights)];
        H(weight)(middle[s], weights);
        EACH(int t = 0; t < H(weights); t++)
            winograd_store(out + (s * H(weights) + t) * slot_stride, weights[t], lanes);
    }
}

ENGINE_CLONES
void NAME(weights)(const float *taps, ptrdiff_t row_stride, ptrdiff_t column_stride, int rows, int columns, float *out,
                   ptrdiff_t slot_stride) {
    for (int row = 0; row < rows; row++, taps += row_stride, out += columns) {
        int k = 0;
        for (; k + 16 <= columns; k += 16)
            NAME(weights_of)(taps + k * column_stride, column_stride, 16, out + k, slot_stride);
        if (k < columns) NAME(weights_of)(taps + k * column_stride, column_stride, columns - k, out + k, slot_stride);
    }
}

/// Adjoint of weights_of, over the sum of the parts.
ENGINE_INLINE void NAME(weight_gradient_of)(const float *weights, ptrdiff_t slot_stride, int parts,
                                            ptrdiff_t part_stride, int lanes, float *taps, ptrdiff_t column_stride) {
    lanes16 middle[V(taps)][H(weights)];
    for (int t = 0; t < H(weights); t++) {
        lanes16 in[V(weights)], out[V(taps)];
        EACH(int s = 0; s < V(weights); s++) {
            const float *from = weights + (s * H(weights) + t) * slot_stride;
            in[s] = winograd_load(from, lanes);
            for (int part = 1; part < parts; part++) in[s] += winograd_load(from + part * part_stride, lanes);
        }
        V(weight_adjoint)(in, out);
        EACH(int y = 0; y < V(taps); y++) middle[y][t] = out[y];
    }
    for (int y = 0; y < V(taps); y++) {
        lanes16 out[H(taps)];
        H(weight_adjoint)(middle[y], out);
        EACH(int x = 0; x < H(taps); x++) winograd_spread(out[x], taps + y * H(taps) + x, column_stride, lanes);
    }
}

ENGINE_CLONES
void NAME(weight_gradient)(const float *weights, ptrdiff_t slot_stride, int parts, ptrdiff_t part_stride, int rows,
                           int columns, float *taps, ptrdiff_t row_stride, ptrdiff_t column_stride) {
    for (int row = 0; row < rows; row++, taps += row_stride, weights += columns) {
        int k = 0;
        for (; k + 16 <= columns; k += 16)
            NAME(weight_gradient_of)(weights + k, slot_stride, parts, part_stride, 16, taps + k * column_stride,
                                     column_stride);
        if (k < columns)
            NAME(weight_gradient_of)(weights + k, slot_stride, parts, part_stride, columns - k,
                                     taps + k * column_stride, column_stride);
    }
}

#define AXIS(of) {of(extent), of(step), of(products), of(outputs), of(taps), of(weights), of(stride), of(slots)}
const winograd_transforms WINOGRAD_JOIN4(winograd_, PAIR, , ) = {
    AXIS(V), AXIS(H), NAME(input), NAME(output), NAME(output_gradient), NAME(input_gradient), NAME(weights),
    NAME(weight_gradient)};

#undef AXIS
#undef WINOGRAD_JOIN4_
#undef WINOGRAD_JOIN4
#undef V
#undef H
#undef NAME
#undef EACH
#undef VERTICAL
#undef HORIZONTAL
#undef PAIR
