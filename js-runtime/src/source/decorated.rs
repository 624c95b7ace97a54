//! Classes with TypeScript's own decorators (`experimentalDecorators`), where the transpiler's output differs from
//! TypeScript's: members are decorated in TypeScript's order, an `accessor` is an accessor, and the types of the
//! metadata are TypeScript's.

use deno_ast::swc::ast::{
    AutoAccessor, Class, ClassMember, ClassMethod, Expr, Function, Ident, Key, MemberProp, MethodKind, Param,
    ParamOrTsParamProp, Pat, PrivateMethod, PrivateName, PrivateProp, Program, PropName, ReturnStmt, Stmt,
    TsKeywordType, TsKeywordTypeKind, TsParamPropParam, TsType, TsTypeAnn, TsUnionOrIntersectionType,
};
use deno_ast::swc::common::DUMMY_SP;
use deno_ast::swc::ecma_visit::{VisitMut, VisitMutWith as _};

use super::fields;

/// Rewrites the classes of a program. `emits_metadata`: types are told, too.
pub(super) fn rewrite(program: &mut Program, emits_metadata: bool) {
    program.visit_mut_with(&mut DecoratorRewrite { emits_metadata });
}

struct DecoratorRewrite {
    emits_metadata: bool,
}

impl VisitMut for DecoratorRewrite {
    fn visit_mut_class(&mut self, class: &mut Class) {
        class.visit_mut_children_with(self);
        if self.emits_metadata {
            add_types(class);
        }
        replace_accessors(class);
        // TypeScript decorates members of the class after members of its instances. Only static members have an order
        // beside that of decorators, among each other.
        if class
            .body
            .iter()
            .any(|member| is_static(member) && is_decorated(member))
        {
            class.body.sort_by_key(is_static);
        }
    }
}

fn is_static(member: &ClassMember) -> bool {
    match member {
        ClassMember::Method(method) => method.is_static,
        ClassMember::PrivateMethod(method) => method.is_static,
        ClassMember::ClassProp(field) => field.is_static,
        ClassMember::PrivateProp(field) => field.is_static,
        ClassMember::AutoAccessor(accessor) => accessor.is_static,
        ClassMember::StaticBlock(_) => true,
        _ => false,
    }
}

fn is_decorated(member: &ClassMember) -> bool {
    match member {
        ClassMember::Method(method) => is_decorated_function(&method.function),
        ClassMember::ClassProp(field) => !field.decorators.is_empty(),
        ClassMember::AutoAccessor(accessor) => !accessor.decorators.is_empty(),
        _ => false,
    }
}

fn is_decorated_function(function: &Function) -> bool {
    !function.decorators.is_empty() || function.params.iter().any(|param| !param.decorators.is_empty())
}

/// Replaces `accessor x` by its parts: a private field, its getter with the decorators, and its setter.
fn replace_accessors(class: &mut Class) {
    let mut body = Vec::with_capacity(class.body.len());
    for member in std::mem::take(&mut class.body) {
        match member {
            // An accessor with a computed name stays, and is an error of V8's.
            ClassMember::AutoAccessor(accessor) if !accessor.is_abstract && name_of(&accessor).is_some() => {
                body.extend(replaced(accessor));
            }
            other => body.push(other),
        }
    }
    class.body = body;
}

fn name_of(accessor: &AutoAccessor) -> Option<&str> {
    match &accessor.key {
        Key::Private(name) => Some(&name.name),
        Key::Public(PropName::Ident(name)) => Some(&name.sym),
        Key::Public(_) => None,
    }
}

fn replaced(accessor: AutoAccessor) -> Vec<ClassMember> {
    let span = accessor.span;
    let storage = PrivateName {
        span: DUMMY_SP,
        // The name is TypeScript's.
        name: format!("{}_accessor_storage", name_of(&accessor).unwrap_or_default()).into(),
    };
    let place = fields::member_of_this(MemberProp::PrivateName(storage.clone()));
    let value = Ident::new_no_ctxt("value".into(), DUMMY_SP);
    let returned = Stmt::Return(ReturnStmt {
        span,
        arg: Some(Expr::Member(place).into()),
    });
    let assigned = fields::assignment(span, MemberProp::PrivateName(storage.clone()), value.clone().into());
    let getter = Function {
        decorators: accessor.decorators,
        body: Some(fields::block(vec![returned])),
        return_type: accessor.type_ann,
        ..Function::default()
    };
    let setter = Function {
        params: vec![Param::from(Pat::from(value))],
        body: Some(fields::block(vec![assigned])),
        ..Function::default()
    };
    let method = |kind, function: Function| match &accessor.key {
        Key::Private(key) => ClassMember::PrivateMethod(PrivateMethod {
            span,
            key: key.clone(),
            function: function.into(),
            kind,
            is_static: accessor.is_static,
            ..PrivateMethod::default()
        }),
        Key::Public(key) => ClassMember::Method(ClassMethod {
            span,
            key: key.clone(),
            function: function.into(),
            kind,
            is_static: accessor.is_static,
            ..ClassMethod::default()
        }),
    };
    let methods = [method(MethodKind::Getter, getter), method(MethodKind::Setter, setter)];
    let field = PrivateProp {
        span,
        key: storage,
        value: accessor.value,
        is_static: accessor.is_static,
        ..PrivateProp::default()
    };
    std::iter::once(ClassMember::PrivateProp(field))
        .chain(methods)
        .collect()
}

/// Gives members without a type the type that TypeScript takes for their metadata, `Object`; of a union with `null`
/// or `undefined` TypeScript takes the rest.
fn add_types(class: &mut Class) {
    for member in &mut class.body {
        match member {
            ClassMember::ClassProp(field) => add_type(&mut field.type_ann),
            ClassMember::AutoAccessor(accessor) => add_type(&mut accessor.type_ann),
            ClassMember::Method(method) => {
                let function = &mut method.function;
                function.params.iter_mut().for_each(|param| add_type_of(&mut param.pat));
                match method.kind {
                    MethodKind::Getter => add_type(&mut function.return_type),
                    MethodKind::Method => function
                        .return_type
                        .iter_mut()
                        .for_each(|ann| simplify(&mut ann.type_ann)),
                    MethodKind::Setter => {}
                }
            }
            ClassMember::Constructor(constructor) => {
                for param in &mut constructor.params {
                    match param {
                        ParamOrTsParamProp::Param(param) => add_type_of(&mut param.pat),
                        ParamOrTsParamProp::TsParamProp(property) => match &mut property.param {
                            TsParamPropParam::Ident(name) => add_type(&mut name.type_ann),
                            TsParamPropParam::Assign(assign) => add_type_of(&mut assign.left),
                        },
                    }
                }
            }
            _ => {}
        }
    }
}

fn add_type_of(pattern: &mut Pat) {
    match pattern {
        Pat::Ident(name) => add_type(&mut name.type_ann),
        Pat::Array(array) => add_type(&mut array.type_ann),
        Pat::Object(object) => add_type(&mut object.type_ann),
        Pat::Assign(assign) => add_type_of(&mut assign.left),
        _ => {}
    }
}

fn add_type(annotation: &mut Option<Box<TsTypeAnn>>) {
    let annotation = annotation.get_or_insert_with(|| {
        let any = TsKeywordType {
            span: DUMMY_SP,
            kind: TsKeywordTypeKind::TsAnyKeyword,
        };
        Box::new(TsTypeAnn {
            span: DUMMY_SP,
            type_ann: Box::new(TsType::TsKeywordType(any)),
        })
    });
    simplify(&mut annotation.type_ann);
}

fn simplify(of: &mut Box<TsType>) {
    if let TsType::TsParenthesizedType(inner) = &mut **of {
        *of = inner.type_ann.clone();
        return simplify(of);
    }
    let TsType::TsUnionOrIntersectionType(TsUnionOrIntersectionType::TsUnionType(union)) = &mut **of else {
        return;
    };
    let is_nothing = |one: &TsType| {
        use TsKeywordTypeKind::{TsNeverKeyword, TsNullKeyword, TsUndefinedKeyword};
        let kind = one.as_ts_keyword_type().map(|keyword| keyword.kind);
        matches!(kind, Some(TsNullKeyword | TsUndefinedKeyword | TsNeverKeyword))
    };
    if union.types.iter().all(|one| is_nothing(one)) {
        return;
    }
    union.types.retain(|one| !is_nothing(one));
    if let [only] = &*union.types {
        *of = only.clone();
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use crate::source::transpile::{self, EmitKind};
    use crate::source::tsconfig::CompilerOptions;

    fn emitted(class: &str) -> String {
        let settings = r#"{ "experimentalDecorators": true, "emitDecoratorMetadata": true, "target": "ES2022" }"#;
        let options: Option<CompilerOptions> =
            jsonc_parser::parse_to_serde_value(settings, &Default::default()).unwrap();
        let url = Url::parse("file:///p/a.ts").unwrap();
        let parsed = transpile::parse(&url, MediaType::TypeScript, class.into()).unwrap();
        let emitted = transpile::emit(&url, parsed, EmitKind::Esm, &options.unwrap()).unwrap();
        emitted.code.to_string()
    }

    #[test]
    fn the_types_of_metadata_are_those_of_typescript() {
        for (class, told) in [
            ("class A { @on a: string | null; }", "\"design:type\", String)"),
            ("class A { @on a?: (undefined | Date); }", "typeof Date"),
            ("class A { @on a: string | number; }", "\"design:type\", Object)"),
            ("class A { @on a: null; }", "\"design:type\", void 0)"),
            ("class A { @on a = 1; }", "\"design:type\", Object)"),
            ("class A { @on get a() { return 1; } }", "\"design:type\", Object)"),
        ] {
            let code = emitted(class);
            assert!(code.contains(told), "{class}\n{code}");
        }
    }

    #[test]
    fn an_accessor_becomes_a_private_field_with_a_decorated_getter() {
        let code = emitted("class A { @on accessor a = 1; static accessor #b; }");
        assert!(!code.contains("accessor "), "{code}");
        for part in [
            "#a_accessor_storage = 1",
            "get a()",
            "set a(value)",
            "static get #b()",
            "static #b_accessor_storage",
        ] {
            assert!(code.contains(part), "{part}: {code}");
        }
    }
}
