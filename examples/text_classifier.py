# %% [markdown]
# # A text classifier whose token embedding is compressed
#
# This generates sentences about several topics, builds a vocabulary of them,
# and trains a small BERT of KerasHub from random weights to tell the topic:
# with its own token embedding, and with a compressed one in its place. With
# `full` among the methods, the trained model is converted to each of the others
# as well. Nothing is downloaded. docs/text.md has the results of several
# methods.
#
# - Install, in a clone: `pip install '.[tensorflow,text]'`
# - Run: `python examples/text_classifier.py`, some minutes
#
# It prints the accuracy of each. The means of three seeds, from docs/text.md:
#
# ```text
# full                        .8304
# full, then mixed_dimension  .8250
# mixed_dimension             .8126
# ```

# %%
import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_hub
import numpy as np

import keras_pss

Sentences = list[list[str]]

# %% [markdown]
# ## Sentences
#
# Words follow Zipf's law and have topics, so that the best possible accuracy is
# known.


# %%
# The parts of a sentence; those of one word are in every sentence.
GRAMMAR = (
    *("the", "adjective", "noun", "verb", "the", "noun", "and"),
    *("the", "noun", "verb", "the", "adjective", "noun"),
)
SHARES = {"noun": 0.6, "verb": 0.2, "adjective": 0.2}
# Of the words that have a topic, this part is drawn from the sentence's own.
ON_TOPIC = 0.45
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]

PADDING, UNKNOWN = 0, 1


class Language:
    """Sentences of a grammar, whose words follow Zipf's law and have topics.

    Args:
        words: Number of words, of which each belongs to one topic.
        topics: Number of topics.
        seed: Seed of the language and of its sentences.
    """

    def __init__(self, words: int, topics: int, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._topics = topics
        names = self._rng.permutation(len(SYLLABLES) ** 3)[:words]
        at = 0
        self._words = {}
        for part, share in SHARES.items():
            count = max(topics, round(share * words))
            # The second line of each entry is the topic of each word.
            self._words[part] = (
                [_spelled(int(k)) for k in names[at : at + count]],
                self._rng.permutation(np.arange(count) % topics),
                1 / np.arange(1, count + 1),
            )
            at += count

    def sentences(self, count: int) -> tuple[Sentences, np.ndarray, float]:
        """Draws sentences.

        Returns:
            A list of lists of words; their topics, `(count,)`; and the best
            possible accuracy on them, that of Bayes' rule with the true
            probabilities.
        """
        labels = self._rng.integers(self._topics, size=count)
        columns = []
        logs = np.zeros((count, self._topics))
        for part in GRAMMAR:
            if part not in self._words:
                columns.append(np.full(count, part, object))
                continue
            names, owners, weights = self._words[part]
            chances = self._chances(owners, weights)
            drawn = np.empty(count, int)
            for topic in range(self._topics):
                mine = labels == topic
                drawn[mine] = self._rng.choice(
                    len(names), mine.sum(), p=chances[topic]
                )
            logs += np.log(chances[:, drawn].T)
            columns.append(np.array(names, object)[drawn])
        best = float((logs.argmax(1) == labels).mean())
        return np.stack(columns, 1).tolist(), labels, best

    def _chances(self, owners: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Probability of each word in a sentence of each topic."""
        own = (owners == np.arange(self._topics)[:, None]) * weights
        own = own / own.sum(1, keepdims=True)
        return ON_TOPIC * own + (1 - ON_TOPIC) * weights / weights.sum()


def _spelled(number: int) -> str:
    count = len(SYLLABLES)
    places = number, number // count, number // count**2
    return "".join(SYLLABLES[place % count] for place in places)


# %% [markdown]
# ## Vocabulary
#
# The most frequent words have the smallest ids.


# %%
class Vocabulary:
    """Ids of words, the most frequent first; 0 is padding, 1 is unknown.

    Methods such as `popularity` rely on this order. The ids of a tokenizer that
    was trained elsewhere need not have it: count its tokens and sort them.
    """

    def __init__(self, sentences: Sentences, length: int) -> None:
        ranked = Counter(
            word for words in sentences for word in words
        ).most_common()
        self._ids = {word: k + 2 for k, (word, _) in enumerate(ranked)}
        self._length = length
        # How often each id occurs in the sentences.
        self.counts = np.array([0, 0, *(count for _, count in ranked)])

    def __len__(self) -> int:
        return len(self._ids) + 2

    def encode(self, sentences: Sentences) -> dict[str, np.ndarray]:
        """The inputs of a BERT of KerasHub, `(sentences, length)` each."""
        ids = np.full((len(sentences), self._length), PADDING, "int32")
        for row, words in enumerate(sentences):
            known = [self._ids.get(word, UNKNOWN) for word in words]
            ids[row, : len(known)] = known[: self._length]
        return {
            "token_ids": ids,
            "segment_ids": np.zeros_like(ids),
            "padding_mask": (ids != PADDING).astype("int32"),
        }


# %% [markdown]
# ## Model
#
# `with_token_embedding` puts another layer into a backbone of KerasHub.


# %%
def backbone(vocabulary: int, length: int, width: int = 64) -> keras.Model:
    """A BERT of two layers with random weights."""
    return keras_hub.models.BertBackbone(
        vocabulary_size=vocabulary,
        num_layers=2,
        num_heads=2,
        hidden_dim=width,
        intermediate_dim=2 * width,
        max_sequence_length=length,
    )


def with_token_embedding(model: keras.Model, layer: Any) -> keras.Model:
    """A copy of a backbone, with new weights and another token embedding.

    Args:
        model: A backbone of KerasHub that does not compute logits by its token
            embedding.
        layer: Layer that maps ids to rows, with the name `"token_embedding"`.
    """

    def copied(old: keras.layers.Layer) -> keras.layers.Layer:
        if old.name == "token_embedding":
            return layer
        return type(old).from_config(old.get_config())

    return keras.models.clone_model(model, clone_function=copied)


def classifier(model: keras.Model, topics: int) -> keras.Model:
    """A backbone, the mean of its tokens' vectors and a softmax."""
    tokens = model.output["sequence_output"]
    mean = keras.layers.GlobalAveragePooling1D()(tokens)
    mean = keras.layers.Dropout(0.1)(mean)
    topic = keras.layers.Dense(topics, activation="softmax", name="topic")
    return keras.Model(model.input, topic(mean))


def build(
    method: str, budget: str, vocabulary: int, length: int, topics: int
) -> keras.Model:
    """An untrained classifier; `"full"` is KerasHub's own token embedding."""
    model = backbone(vocabulary, length)
    if method != "full":
        own = model.token_embedding
        tokens = keras_pss.embedding(
            own.input_dim,
            own.output_dim,
            method,
            budget,
            # Compressed rows start with the scale of the layer's own.
            embeddings_initializer=own.embeddings_initializer,
            name=own.name,
        )
        model = with_token_embedding(model, tokens)
    model = classifier(model, topics)
    model.compile(
        keras.optimizers.Adam(2e-3),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,  # XLA would compile for longer than it saves
    )
    return model


# %% [markdown]
# ## Train


# %%
Data = tuple[dict[str, np.ndarray], np.ndarray]


def train(model: keras.Model, data: Data, valid: Data, epochs: int) -> None:
    """Trains a classifier; the best epoch on validation data is kept."""
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=epochs, restore_best_weights=True
    )
    model.fit(
        *data,
        batch_size=128,
        epochs=epochs,
        validation_data=valid,
        callbacks=[best],
        verbose=0,
    )


def accuracy(name: str, model: keras.Model, test: Data, since: float) -> float:
    """Accuracy of a classifier, which it prints with sizes and seconds."""
    scores = model.evaluate(*test, batch_size=512, verbose=0, return_dict=True)
    tokens = model.get_layer("token_embedding").count_params()
    print(
        f"{name:26} token embedding {tokens:>9,} of "
        f"{model.count_params():>9,} parameters, accuracy "
        f"{scores['accuracy']:.4f}, {time.perf_counter() - since:.0f} s",
        flush=True,
    )
    return float(scores["accuracy"])


# %% [markdown]
# ## Compare


# %%
def main(arguments: Sequence[str] | None = None) -> dict[str, list[float]]:
    """Trains, converts and prints; returns test accuracies of each seed."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--methods", nargs="+", default=["full", "mixed_dimension"]
    )
    parser.add_argument("--budget", default="10x")
    parser.add_argument("--words", type=int, default=20_000)
    parser.add_argument("--topics", type=int, default=4)
    parser.add_argument("--sentences", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args(arguments)

    length = len(GRAMMAR)
    language = Language(options.words, options.topics)
    texts, labels, _ = language.sentences(options.sentences)
    valid_texts, valid_labels, _ = language.sentences(options.sentences // 8)
    test_texts, test_labels, best = language.sentences(options.sentences)
    vocabulary = Vocabulary(texts, length)
    data = vocabulary.encode(texts), labels
    valid = vocabulary.encode(valid_texts), valid_labels
    test = vocabulary.encode(test_texts), test_labels
    print(f"for example: {' '.join(texts[0])}")
    print(
        f"{len(texts):,} sentences, {len(vocabulary):,} tokens; "
        f"best possible accuracy {best:.4f}"
    )

    found: dict[str, list[float]] = {}
    for seed in range(options.seeds):
        full = None
        for method in options.methods:
            keras.utils.set_random_seed(seed)
            start = time.perf_counter()
            model = build(
                method,
                options.budget,
                len(vocabulary),
                length,
                options.topics,
            )
            train(model, data, valid, options.epochs)
            score = accuracy(method, model, test, start)
            found.setdefault(method, []).append(score)
            if method == "full":
                full = model
            elif full is not None:
                start = time.perf_counter()
                small, _ = keras_pss.compress_model(
                    full,
                    method,
                    options.budget,
                    layers=["token_embedding"],
                    counts={"token_embedding": vocabulary.counts},
                )
                name = f"full, then {method}"
                score = accuracy(name, small, test, start)
                found.setdefault(name, []).append(score)
    return found


# %%
if __name__ == "__main__":
    main([] if "ipykernel" in sys.modules else None)
