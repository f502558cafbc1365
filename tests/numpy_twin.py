"""The networks in plain NumPy, written from the paper's equations as loops over pixels, to compare the package with.

It shares only the parameters' names with the package. An image is [H, W, C].
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def group(feature, features, channels):
    """The colour that a feature belongs to."""
    return feature * channels // features


def conv(x, params, channels, mask_type, gates=1):
    """A masked convolution, pixel by pixel, with `gates` outputs side by side, each with its own groups of colours."""
    kernel, bias = params["kernel"], params["bias"]
    height, width, inputs = x.shape
    rows, columns, _, outputs = kernel.shape
    y = np.zeros((height, width, outputs))
    for i in range(height):
        for j in range(width):
            y[i, j] = bias
            for k in range(rows):
                for m in range(columns):
                    di, dj = k - rows // 2, m - columns // 2
                    if not (0 <= i + di < height and 0 <= j + dj < width) or (di, dj) > (0, 0):
                        continue
                    weights = kernel[k, m].astype(float)
                    if (di, dj) == (0, 0):
                        for a in range(inputs):
                            for b in range(outputs):
                                per_gate = outputs // gates
                                of, to = group(a, inputs, channels), group(b % per_gate, per_gate, channels)
                                if of > to or (mask_type == "A" and of == to):
                                    weights[a, b] = 0
                    y[i, j] += x[i + di, j + dj] @ weights
    return y


def lstm_step(gates, c):
    """Equation 3."""
    o, f, i, g = np.split(gates, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def add(y, params, name, context):
    """Adds the unmasked 1x1 convolution of the context, if there is one, to a map."""
    return y if context is None else y + context @ params[name]["kernel"]


def row_lstm(x, params, channels, context):
    lstm = params["lstm"]
    h_0, c_0, k_ss = lstm["initial_hidden"], lstm["initial_cell"], lstm["state_to_state"]
    gates = add(conv(x, lstm["input_to_state"], channels, "B", gates=4), lstm, "context_to_state", context)
    height, width, _ = x.shape
    hidden, cells = {}, {}
    for i in range(height):
        for j in range(width):
            total = gates[i, j].copy()
            for tap, dj in enumerate((-1, 0, 1)):
                total += hidden.get((i - 1, j + dj), h_0) @ k_ss[tap]
            hidden[i, j], cells[i, j] = lstm_step(total, cells.get((i - 1, j), c_0))
    hidden = np.array([[hidden[i, j] for j in range(width)] for i in range(height)])
    return conv(hidden, params["up"], channels, "B")


def diagonal_lstm(x, params, channels, context):
    """From the left: pixel (i, j) reads the hidden states of (i - 1, j) and (i, j - 1), and the cell state of the latter."""
    h_0, c_0, k_ss = params["initial_hidden"], params["initial_cell"], params["state_to_state"]
    gates = add(conv(x, params["input_to_state"], channels, "B", gates=4), params, "context_to_state", context)
    height, width, _ = x.shape
    hidden, cells = {}, {}
    for i in range(height):
        for j in range(width):
            total = gates[i, j] + hidden.get((i - 1, j), h_0) @ k_ss[0] + hidden.get((i, j - 1), h_0) @ k_ss[1]
            hidden[i, j], cells[i, j] = lstm_step(total, cells.get((i, j - 1), c_0))
    return np.array([[hidden[i, j] for j in range(width)] for i in range(height)])


def diagonal_bilstm(x, params, channels, context):
    left = diagonal_lstm(x, params["left"], channels, context)
    right = diagonal_lstm(x[:, ::-1], params["right"], channels, None if context is None else context[:, ::-1])[:, ::-1]
    total = left.copy()
    for i in range(1, len(x)):
        total[i] += right[i - 1]
    return conv(total, params["up"], channels, "B")


def pixel_cnn(x, params, channels, context):
    y = add(conv(np.maximum(x, 0), params["down"], channels, "B"), params, "context_to_hidden", context)
    y = conv(np.maximum(y, 0), params["conv"], channels, "B")
    return conv(np.maximum(y, 0), params["up"], channels, "B")


LAYERS = {"row_lstm": row_lstm, "diagonal_bilstm": diagonal_bilstm, "pixel_cnn": pixel_cnn}


def logits(image, params, config, context=None):
    """The logits of one image, [H, W, C, levels], given a context map [H, W, F]."""
    channels = config.channels
    x = conv(image / (config.levels - 1) * 2 - 1, params["stem"], channels, "A")
    skips = 0
    for depth in range(config.depth):
        layer = slice_tree(params["layers"], depth)
        y = LAYERS[config.layer](x, layer[config.layer], channels, context)
        x = x + y if config.residual else y
        if config.skip:
            skips = skips + conv(x, layer["skip"], channels, "B")
    x = skips if config.skip else x
    for name in ("hidden_1", "hidden_2", "logits"):
        x = conv(np.maximum(x, 0), params["head"][name], channels, "B")
    x = x.reshape(*image.shape, -1)
    return np.concatenate([np.zeros_like(x), x], -1) if config.levels == 2 else x


def context_map(image, params, config, size, label=None):
    """The context map [H, W, F] of an image: the one-hot class, then the features of the context network."""
    maps = [] if label is None else [np.broadcast_to(np.eye(config.num_classes)[label], (*size, config.num_classes))]
    if config.context_channels:
        x, scale, number = image / (config.context_levels - 1) * 2 - 1, config.context_scale, 0
        for factor in (2, 3, 5, 7):
            while scale % factor == 0:
                number, scale = number + 1, scale // factor
                x = np.maximum(transposed_conv(x, params["context_network"][f"upsampling_{number}"], factor), 0)
        for number in range(1, config.context_depth + 1):
            x = np.maximum(plain_conv(x, params["context_network"][f"conv_{number}"]), 0)
        maps.append(x)
    return np.concatenate(maps, -1)


def transposed_conv(x, params, factor):
    """Spreads each pixel over 2f x 2f pixels of an image f times larger: its own f x f, f // 2 before them, the rest after."""
    kernel, bias = params["kernel"], params["bias"]
    height, width, _ = x.shape
    y = np.zeros((height * factor, width * factor, len(bias))) + bias
    for i, j in np.ndindex(height, width):
        for k, m in np.ndindex(2 * factor, 2 * factor):
            row, column = i * factor + k - factor // 2, j * factor + m - factor // 2
            if 0 <= row < len(y) and 0 <= column < len(y[0]):
                y[row, column] += x[i, j] @ kernel[2 * factor - 1 - k, 2 * factor - 1 - m]
    return y


def plain_conv(x, params):
    kernel, bias = params["kernel"], params["bias"]
    height, width, _ = x.shape
    y = np.zeros((height, width, len(bias))) + bias
    for i, j in np.ndindex(height, width):
        for di, dj in np.ndindex(3, 3):
            if 0 <= i + di - 1 < height and 0 <= j + dj - 1 < width:
                y[i, j] += x[i + di - 1, j + dj - 1] @ kernel[di, dj]
    return y


def slice_tree(tree, index):
    return {name: slice_tree(leaf, index) if isinstance(leaf, dict) else leaf[index] for name, leaf in tree.items()}
